"""`tiersplit plan`: where to divide a network, under given conditions."""

from typing import TYPE_CHECKING, Annotated

import typer

from tiersplit_cli import fewer_bits, problem_input
from tiersplit_cli.output import Format, OutputOption, emit, working
from tiersplit_cli.problem_input import BundleRequest, given_problem
from tiersplit_cli.quiet import native_output_on_stderr
from tiersplit_core.errors import InfeasibleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tiersplit_cli.planned import Planned
    from tiersplit_core.planning.solution import Solution, Transmission


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("plan")(plan)


def plan(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command line
    problem: problem_input.ProblemOption = None,
    solver: Annotated[str, typer.Option(help="A solver or baseline of `tiersplit solvers`.")] = "auto",
    time_limit: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds that a search may take.")] = 7.5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random-split.")] = 0,
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
    """Plan where to divide a network.

    Exit codes: 0 for a plan, 2 for a bad problem (with the JSON path of the mistake), 3 where nothing satisfies the
    constraints.
    """
    from tiersplit_cli.planned import plan_given, planned_to_json  # noqa: PLC0415 - numpy is not needed for --help

    narrowing = fewer_bits.Narrowing(weight_bits, activation_bits, max_drop, max_distortion)
    request = BundleRequest(bundle, profile, latency, memory, objective, keep_input, result_back, narrowing)
    given = given_problem(problem, request, bandwidth, batch)
    with native_output_on_stderr(), working("planning"):
        planned = plan_given(given, solver, time_limit, seed)
    emit(planned_to_json(planned), output, lambda: _table(planned))
    if planned.solution.constraint is not None:
        raise InfeasibleError(planned.solution.constraint)


def _table(planned: "Planned") -> "Table | str":
    from rich.table import Table  # noqa: PLC0415 - only tables need it

    from tiersplit_core.units import format_bytes, format_seconds  # noqa: PLC0415

    solution = planned.solution
    if solution.constraint is not None:
        return _title(solution)
    table = Table("where", "what", "seconds", "bytes", title=_title(solution), caption=_accuracy(planned))
    for stage in solution.stages:
        widths = _widths(planned, stage.layers)
        what = f"{len(stage.layers)} layers: {stage.layers[0]} … {stage.layers[-1]}{widths}"
        table.add_row(stage.tier, what, format_seconds(stage.compute_s), format_bytes(stage.memory_bytes))
    for sent in solution.transmissions:
        size = format_bytes(sent.payload_bytes)
        seconds = format_seconds(sent.seconds + sent.serving_s)
        table.add_row(f"{sent.source} → {sent.target}", _tensors(sent), seconds, size)
    if solution.request_s > 0:
        table.add_row("client", "taking the request and answering it", format_seconds(solution.request_s), "")
    return table


def _title(solution: "Solution") -> str:
    from tiersplit_core.units import format_seconds  # noqa: PLC0415

    title = f"{solution.status.value} by {solution.solver}"
    if solution.objective_s is not None:
        title += f": {format_seconds(solution.objective_s)}"
    if solution.gap is not None:
        title += f", proven gap {solution.gap:.1e}"
    if solution.distortion is not None:
        title += f", distortion {solution.distortion:.3g}"
    return title


def _accuracy(planned: "Planned") -> str | None:
    """What is known of the plan's accuracy, and of faster plans'; None where nothing was measured."""
    if planned.given.accuracies is None:
        return None
    from tiersplit_cli.explain.accuracy import accuracy_sentences  # noqa: PLC0415 - only rated bundles need it

    return " ".join(accuracy_sentences(planned))


def _tensors(sent: "Transmission") -> str:
    named = [f"{name} in {sent.bits[name]} bits" if name in sent.bits else name for name in sent.tensors[:3]]
    return ", ".join(named) + (f" and {len(sent.tensors) - 3} more" if len(sent.tensors) > 3 else "")


def _widths(planned: "Planned", layers: "Sequence[str]") -> str:
    """Which bit widths the layers have, such as `, as int8 with weights in 2, 8 bits, activations in 4 bits`."""
    widths = planned.solution.plan.widths if planned.solution.plan else {}
    chosen = [widths[name] for name in layers if name in widths]
    if not chosen:
        return ""
    kinds = {"weights": {w for w, _ in chosen}, "activations": {a for _, a in chosen}}
    said = ", ".join(f"{kind} in {', '.join(map(str, sorted(bits)))} bits" for kind, bits in kinds.items())
    return f", as {planned.form.value} with {said}" if planned.form is not None else f", {said}"
