"""`tiersplit run`: a SplitDeployment on this machine."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tiersplit_cli.output import Format, OutputOption, say, stderr

_LINE_EVERY_S = 10.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    manifest: Annotated[Path, typer.Option("--file", "-f", help="The SplitDeployment manifest.")],
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of each stage's sessions.")] = 1,
    serve_port: Annotated[int, typer.Option(min=0, max=65535, help="The head's port; 0 picks one.")] = 0,
    max_batch: Annotated[int, typer.Option(min=1, max=4096, help="Largest batch that the head takes.")] = 64,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore results of earlier runs.")] = False,
    pin: Annotated[str | None, typer.Option(help="Serve the plan with this digest, whatever is best.")] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Import, profile, plan and serve a model over emulated tiers; prints `head: HOST:PORT` once it is ready."""
    from tiersplit_local.run import run_manifest  # noqa: PLC0415 - --help needs none of this
    from tiersplit_local.supervisor import RunOptions  # noqa: PLC0415

    options = RunOptions(threads=threads, serve_port=serve_port, max_batch=max_batch)
    with _live() as show:
        run_manifest(
            manifest, options, fresh=fresh, pin=pin, say=say, ready=lambda head: _ready(head, output), on_tick=show
        )


def _ready(head: str, output: Format) -> None:
    """Print the head's address; a reader that waits for it gets it at once."""
    line = json.dumps({"head": head}) if output is Format.JSON else f"head: {head}"
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    say("ready; Ctrl-C ends it")


@contextmanager
def _live() -> "Iterator[Callable[[Mapping[str, Any]], None]]":
    """A live table where stderr is a terminal, else a line whenever the plan changes and now and then."""
    if not stderr().is_terminal:
        yield _Lines().show
        return
    from rich.live import Live  # noqa: PLC0415

    from tiersplit_cli.commands.status import table  # noqa: PLC0415

    with Live(console=stderr(), auto_refresh=False, transient=True) as live:
        yield lambda value: live.update(table(value), refresh=True)


class _Lines:
    """Says the state in lines."""

    def __init__(self) -> None:
        self._shown: tuple[object, ...] = ()
        self._at = 0.0

    def show(self, value: Mapping[str, Any]) -> None:
        from tiersplit_local.status import line  # noqa: PLC0415

        shown = (value["state"], value["plan"])
        if shown != self._shown or time.monotonic() - self._at >= _LINE_EVERY_S:
            self._shown, self._at = shown, time.monotonic()
            reason = value["history"][-1]["reason"] if value["history"] else ""
            say(f"{line(value)}; {reason}")
