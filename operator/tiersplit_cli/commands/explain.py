"""`tiersplit explain`: why this plan and not another one, and at which bandwidth that would change."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiersplit_cli import problem_input
from tiersplit_cli.output import Format, OutputOption, emit, progress, say
from tiersplit_cli.problem_input import BundleRequest, one_problem
from tiersplit_cli.quiet import native_output_on_stderr

if TYPE_CHECKING:
    from tiersplit_cli.explain.reason import Explanation
    from tiersplit_core.planning.guidelines import ModelFacts
    from tiersplit_core.planning.problem import Problem


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("explain")(explain)


def explain(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command line
    problem: problem_input.ProblemOption = None,
    png: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("explain.png"),
    html: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("explain.html"),
    pictures: Annotated[bool, typer.Option(help="Write the picture and the page.")] = True,
    time_limit: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds that a search may take.")] = 7.5,
    batch: problem_input.BatchOption = None,
    bundle: problem_input.BundleOption = None,
    profile: problem_input.ProfileOption = None,
    bandwidth: problem_input.BandwidthOption = None,
    latency: problem_input.LatencyOption = None,
    memory: problem_input.MemoryOption = None,
    objective: problem_input.ObjectiveOption = None,
    keep_input: problem_input.RawInputOption = False,
    result_back: problem_input.ResultOption = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Explain the best plan: its parts, its neighbours, and the bandwidths at which it would change.

    Exit codes: 0, 2 for a bad problem (with the JSON path of the mistake), 3 where nothing satisfies the constraints.
    """
    from rich.text import Text  # noqa: PLC0415 - slow

    from tiersplit_cli.explain.why_page import explanation_to_json, write_html, write_png  # noqa: PLC0415
    from tiersplit_cli.explain.words import sentences  # noqa: PLC0415

    request = BundleRequest(bundle, profile, latency, memory, objective, keep_input, result_back)
    given = one_problem(problem, request, bandwidth, batch)
    explanation = _explained(given, time_limit, _facts(bundle))
    answer = explanation_to_json(explanation)
    if pictures:
        write_png(png, explanation)
        write_html(html, explanation)
        answer["files"] = {"png": str(png), "html": str(html)}
        say(f"picture: {png}\npage: {html}")
    emit(answer, output, lambda: Text("\n".join(f"• {sentence}" for sentence in sentences(explanation))))


def _facts(bundle: Path | None) -> "ModelFacts | None":
    """The sizes of a bundle's model; a problem's document says less."""
    if bundle is None:
        return None
    from tiersplit_bundle.bundle import Bundle  # noqa: PLC0415 - only bundles need it
    from tiersplit_core.planning.guidelines import facts_of_graph  # noqa: PLC0415

    return facts_of_graph(Bundle.open(bundle).graph)


def _explained(given: "Problem", time_limit: float, facts: "ModelFacts | None") -> "Explanation":
    from tiersplit_cli.explain.reason import explain_problem  # noqa: PLC0415 - --help needs none of this

    with native_output_on_stderr(), progress() as bar:
        task = bar.add_task("planning", total=len(given.links) + 2 + (len(given.links) > 1))
        return explain_problem(given, time_limit, lambda what: bar.update(task, description=what, advance=1), facts)
