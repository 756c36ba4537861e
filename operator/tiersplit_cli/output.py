"""Results on stdout in the format that was asked for; progress and everything said to people on stderr.

rich is imported where something is printed with it: results as JSON or YAML do without.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Format, typer.Option("-o", "--output", help="How results are printed.")]


def emit(value: Mapping[str, Any] | Sequence[Any], output: Format, table: Callable[[], object]) -> None:
    """Print `value` as JSON or YAML, or what `table()` makes of it for people.

    Args:
        value: the result as plain JSON values.
        output: the format that was asked for.
        table: makes a rich renderable (or a string); called only for tables.
    """
    if output is Format.JSON:
        sys.stdout.write(json.dumps(value, indent=2) + "\n")
    elif output is Format.YAML:
        import yaml  # noqa: PLC0415 - only this format needs it

        yaml.safe_dump(value, sys.stdout, sort_keys=False)
    else:
        _print_table(table())


def _print_table(made: object) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    stdout = Console(highlight=False)
    # Whoever reads sentences from a pipe wants whole lines, not 80 columns.
    stdout.print(made, soft_wrap=isinstance(made, str | Text) and not stdout.is_terminal)


@cache
def stderr() -> "Console":
    """The console on which people are told things; one, so that lines do not tear what is drawn there."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Tell a person something without disturbing the result."""
    stderr().print(text, soft_wrap=True)


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Show on stderr that work goes on, where that is a terminal.

    Args:
        text: what is done.

    Yields:
        What changes the text.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with stderr().status(text) as status:
        yield status.update


def progress() -> AbstractContextManager["Progress"]:
    """A progress bar on stderr; silent where that is no terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
