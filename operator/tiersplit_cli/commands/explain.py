"""`tiersplit explain`: why this plan and not another one, and at which bandwidth that would change."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiersplit_cli import fewer_bits, problem_input
from tiersplit_cli.output import Format, OutputOption, emit, progress, say
from tiersplit_cli.problem_input import BundleRequest, given_problem
from tiersplit_cli.quiet import native_output_on_stderr

if TYPE_CHECKING:
    from rich.text import Text

    from tiersplit_cli.explain.reason import Explanation
    from tiersplit_cli.planned import Given
    from tiersplit_core.planning.guidelines import ModelFacts


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
    weight_bits: fewer_bits.WeightBitsOption = None,
    activation_bits: fewer_bits.ActivationBitsOption = None,
    max_drop: fewer_bits.MaxDropOption = None,
    max_distortion: fewer_bits.MaxDistortionOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Explain the best plan: its parts, its neighbours, and the bandwidths at which it would change.

    Exit codes: 0, 2 for a bad problem (with the JSON path of the mistake), 3 where nothing satisfies the constraints.
    """
    from tiersplit_cli.explain.why_page import explanation_to_json, write_html, write_png  # noqa: PLC0415

    narrowing = fewer_bits.Narrowing(weight_bits, activation_bits, max_drop, max_distortion)
    request = BundleRequest(bundle, profile, latency, memory, objective, keep_input, result_back, narrowing)
    given = given_problem(problem, request, bandwidth, batch)
    explanation = _explained(given, time_limit, _facts(bundle))
    answer = explanation_to_json(explanation)
    if pictures:
        write_png(png, explanation)
        write_html(html, explanation)
        answer["files"] = {"png": str(png), "html": str(html)}
        say(f"picture: {png}\npage: {html}")
    emit(answer, output, lambda: _text(explanation))


def _text(explanation: "Explanation") -> "Text":
    """The sentences, and a line per layer where the plan has bit widths."""
    from rich.text import Text  # noqa: PLC0415 - slow

    from tiersplit_cli.explain.words import layer_lines, sentences  # noqa: PLC0415

    lines = [f"• {sentence}" for sentence in sentences(explanation)]
    if explanation.narrow is not None:
        lines += ["• The layers, one by one:", *layer_lines(explanation.narrow)]
    return Text("\n".join(lines))


def _facts(bundle: Path | None) -> "ModelFacts | None":
    """The sizes of a bundle's model; a problem's document says less."""
    if bundle is None:
        return None
    from tiersplit_bundle.bundle import Bundle  # noqa: PLC0415 - only bundles need it
    from tiersplit_core.planning.guidelines import facts_of_graph  # noqa: PLC0415

    return facts_of_graph(Bundle.open(bundle).graph)


def _explained(given: "Given", time_limit: float, facts: "ModelFacts | None") -> "Explanation":
    from tiersplit_cli.explain.reason import explain_given  # noqa: PLC0415 - --help needs none of this

    links = len(given.problem.links)
    with native_output_on_stderr(), progress() as bar:
        task = bar.add_task("planning", total=links + 2 + (links > 1))
        return explain_given(given, time_limit, lambda what: bar.update(task, description=what, advance=1), facts)
