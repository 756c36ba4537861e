"""`tiersplit explain`: why this plan and not another one, and at which bandwidth that would change."""

from pathlib import Path
from typing import Annotated

import typer

from tiersplit_cli.output import Format, OutputOption, emit, progress, say


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("explain")(explain)


def explain(
    problem: Annotated[Path, typer.Option(help="The planning problem as JSON; - reads it from stdin.")],
    png: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("explain.png"),
    html: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("explain.html"),
    pictures: Annotated[bool, typer.Option(help="Write the picture and the page.")] = True,
    time_limit: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds that a searching solver may take.")
    ] = 7.5,
    output: OutputOption = Format.TABLE,
) -> None:
    """Explain the best plan: its parts, its neighbours, and the bandwidths at which it would change.

    Exit codes: 0, 2 for a bad problem (with the JSON path of the mistake), 3 where nothing satisfies the constraints.
    """
    from tiersplit_cli.explain.reason import explain_problem  # noqa: PLC0415 - numpy is not needed for --help
    from tiersplit_cli.explain.why_page import explanation_to_json, write_html, write_png  # noqa: PLC0415
    from tiersplit_cli.explain.words import sentences  # noqa: PLC0415
    from tiersplit_cli.problem_input import read_problem  # noqa: PLC0415

    given = read_problem(problem)
    with progress() as bar:
        task = bar.add_task("planning", total=len(given.links) + 2 + (len(given.links) > 1))
        explanation = explain_problem(given, time_limit, lambda what: bar.update(task, description=what, advance=1))
    answer = explanation_to_json(explanation)
    if pictures:
        write_png(png, explanation)
        write_html(html, explanation)
        answer["files"] = {"png": str(png), "html": str(html)}
        say(f"picture: {png}\npage: {html}")
    emit(answer, output, lambda: "\n".join(f"• {sentence}" for sentence in sentences(explanation)))
