"""Results on stdout in the format that was asked for; progress and everything said to people on stderr."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False)


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
        made = table()
        # Whoever reads sentences from a pipe wants whole lines, not 80 columns.
        stdout.print(made, soft_wrap=isinstance(made, str | Text) and not stdout.is_terminal)


def say(text: str) -> None:
    """Tell a person something without disturbing the result."""
    stderr.print(text, soft_wrap=True)


def progress() -> AbstractContextManager[Progress]:
    """A progress bar on stderr; silent where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    return Progress(*columns, TimeElapsedColumn(), console=stderr, disable=not stderr.is_terminal)
