"""`tiersplit solvers`: the solvers and baselines that `plan --solver` takes."""

import typer

from tiersplit_cli.output import Format, OutputOption, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("solvers")(solvers)


def solvers(output: OutputOption = Format.TABLE) -> None:
    """List solvers and baselines, their papers, and what their answers are worth."""
    from rich.table import Table  # noqa: PLC0415 - only this command needs it

    from tiersplit_core.planning.planner import SOLVERS  # noqa: PLC0415

    rows = [{"name": s.name, "kind": s.kind, "paper": s.paper, "guarantee": s.guarantee} for s in SOLVERS]

    def table() -> Table:
        made = Table("name", "kind", "guarantee", "paper")
        for row in rows:
            made.add_row(row["name"], row["kind"], row["guarantee"], row["paper"])
        return made

    emit(rows, output, table)
