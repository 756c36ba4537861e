"""`tiersplit bench`: the benchmarks of a source checkout."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tiersplit_cli.output import Format, OutputOption, emit
from tiersplit_core.errors import InputError, OperationError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("bench")(bench)


def bench(
    only: Annotated[
        list[str] | None, typer.Option(help="Run this benchmark alone; may be given several times.")
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Run the benchmarks and write benchmarks/RESULTS.md; needs a source checkout.

    Exit codes: 0, also where a target is missed; 1 where a benchmark crashed; 2 for an unknown name.
    """
    from rich.text import Text  # noqa: PLC0415 - --help needs none of this

    folder = _benchmarks()
    chosen = only or sorted(path.stem for path in folder.glob("*.py") if path.stem != "run")
    for name in chosen:
        if name == "run" or not (folder / f"{name}.py").exists():
            raise InputError(f"no benchmark is called {name!r}", "--only")
    arguments = [word for name in only or () for word in ("--only", name)]
    command = [sys.executable, str(folder / "run.py"), *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    results = folder / "results.json"
    found: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    emit({name: found[name] for name in chosen if name in found}, output, lambda: Text(done.stdout.rstrip()))
    if done.returncode:
        raise OperationError("a benchmark crashed; what it said stands above")


def _benchmarks() -> Path:
    """The folder with the benchmarks: of the working directory, else of the checkout that this package lies in."""
    for root in (Path.cwd(), Path(__file__).parents[3]):
        if (root / "benchmarks" / "run.py").exists():
            return root / "benchmarks"
    raise OperationError("benchmarks/run.py is not here; run this command in a source checkout of tiersplit")
