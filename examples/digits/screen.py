"""What the demo says while it works: numbered steps with their seconds, quiet details, tables."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

STEPS = 5
PIPE_WIDTH = 110


class Screen:
    """Prints on a terminal and into a pipe alike."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = PIPE_WIDTH
        self._began_s = time.monotonic()
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step and say at its end how long it took."""
        self._number += 1
        began_s = time.monotonic()
        self.console.print(f"\n[bold cyan]{self._number}/{STEPS}[/] [bold]{title}[/]")
        yield
        self.detail(f"[dim]took {time.monotonic() - began_s:.0f} s[/]")

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show on a terminal that something is going on."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(f"[dim]{what}[/]", spinner="dots"):
            yield

    def command(self, text: str) -> None:
        """A command that the step runs, as one would type it."""
        self.detail(f"[green]$ {text}[/]")

    def detail(self, text: str) -> None:
        """One line of a step."""
        self.console.print(f"    {text}")

    def table(self, table: Table) -> None:
        """A table, set apart."""
        self.console.print()
        self.console.print(table)

    def seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began_s


def plain_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, strong: int = -1) -> Table:
    """A table whose first column is text and whose others are numbers; the row `strong` stands out."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1))
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right", header_style="dim", no_wrap=i > 0)
    for i, row in enumerate(rows):
        table.add_row(*row, style="bold green" if i == strong else None)
    return table


def milliseconds(seconds: float) -> str:
    """`152 ms`, `9.4 ms`."""
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.1f} ms"
