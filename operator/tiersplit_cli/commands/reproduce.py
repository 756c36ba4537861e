"""`tiersplit reproduce`: what a paper reports, next to what this program finds."""

from typing import Annotated, Any

import typer

from tiersplit_cli.output import Format, OutputOption, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("reproduce")(reproduce)


def reproduce(
    paper: Annotated[str, typer.Argument(help="The paper; an unknown name lists those that there are.")],
    table: Annotated[str | None, typer.Option(help="Only this table, figure or section of the paper.")] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print what a paper reports next to what is found here; `comparable` is no where weights or data are missing."""
    from tiersplit_cli.reproduction import rows_of  # noqa: PLC0415 - imports a model, which takes torch

    rows = rows_of(paper, table)
    emit(rows, output, lambda: _table(rows))


def _table(rows: list[dict[str, Any]]) -> object:
    from rich.table import Table  # noqa: PLC0415

    table = Table("id", "quantity", "paper", "ours", "comparable", "note")
    for row in rows:
        comparable = "yes" if row["comparable"] else "no"
        table.add_row(row["id"], row["quantity"], row["paper"], row["ours"], comparable, row["note"])
    return table
