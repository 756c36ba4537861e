"""Entry point: runs one command, turns errors into exit codes."""

import os
import sys

import typer

from tiersplit_cli.commands_on_demand import CommandsOnDemand
from tiersplit_cli.output import say
from tiersplit_core.errors import InfeasibleError, InputError, TiersplitError

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INFEASIBLE = 1, 2, 3


def build_app() -> typer.Typer:
    """The typer application with a command for every module of `tiersplit_cli.commands`."""
    app = typer.Typer(
        name="tiersplit",
        cls=CommandsOnDemand,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # Typer makes a group only of what has a callback or knows its commands already.
    app.callback()(lambda: None)
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
        from rich.markup import escape  # noqa: PLC0415 - only what is said to people needs it

        say(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(exit_code(error))
    except BrokenPipeError:
        # The reader of our output left; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
