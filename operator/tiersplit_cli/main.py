"""Entry point: finds the commands, runs one, turns errors into exit codes."""

import importlib
import os
import pkgutil
import sys

import typer
from rich.markup import escape

from tiersplit_cli import commands
from tiersplit_cli.output import say
from tiersplit_core.errors import InfeasibleError, InputError, TiersplitError

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INFEASIBLE = 1, 2, 3


def build_app() -> typer.Typer:
    """The typer application with every module of `tiersplit_cli.commands` registered."""
    app = typer.Typer(name="tiersplit", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    for module in sorted(pkgutil.iter_modules(commands.__path__), key=lambda found: found.name):
        importlib.import_module(f"{commands.__name__}.{module.name}").register(app)
    return app


def exit_code(error: TiersplitError) -> int:
    """The exit code of design §4.1 for an error."""
    if isinstance(error, InputError):
        return EXIT_BAD_INPUT
    return EXIT_INFEASIBLE if isinstance(error, InfeasibleError) else EXIT_FAILED


def main() -> None:
    """Run the command line."""
    try:
        build_app()()
    except TiersplitError as error:
        say(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(exit_code(error))
    except BrokenPipeError:
        # The reader of our output left; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
