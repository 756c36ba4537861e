"""`tiersplit plan`: where to divide a network, under given conditions."""

from typing import TYPE_CHECKING, Annotated

import typer

from tiersplit_cli import problem_input
from tiersplit_cli.output import Format, OutputOption, emit, working
from tiersplit_cli.problem_input import BundleRequest, one_problem
from tiersplit_cli.quiet import native_output_on_stderr
from tiersplit_core.errors import InfeasibleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tiersplit_core.planning.solution import Solution


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
    output: OutputOption = Format.TABLE,
) -> None:
    """Plan where to divide a network.

    Exit codes: 0 for a plan, 2 for a bad problem (with the JSON path of the mistake), 3 where nothing satisfies the
    constraints.
    """
    from tiersplit_core.planning.answer import answer_to_json  # noqa: PLC0415 - numpy is not needed for --help
    from tiersplit_core.planning.planner import solve  # noqa: PLC0415

    request = BundleRequest(bundle, profile, latency, memory, objective, keep_input, result_back)
    given = one_problem(problem, request, bandwidth, batch)
    with native_output_on_stderr(), working("planning"):
        solution = solve(given, solver, time_limit, seed)
    emit(answer_to_json(solution), output, lambda: _table(solution))
    if solution.constraint is not None:
        raise InfeasibleError(solution.constraint)


def _table(solution: "Solution") -> "Table | str":
    from rich.table import Table  # noqa: PLC0415 - only tables need it

    from tiersplit_core.units import format_bytes, format_seconds  # noqa: PLC0415

    title = f"{solution.status.value} by {solution.solver}"
    if solution.constraint is not None:
        return title
    if solution.objective_s is not None:
        title += f": {format_seconds(solution.objective_s)}"
    if solution.gap is not None:
        title += f", proven gap {solution.gap:.1e}"
    if solution.distortion is not None:
        title += f", distortion {solution.distortion:.3g}"
    table = Table("where", "what", "seconds", "bytes", title=title)
    for stage in solution.stages:
        what = f"{len(stage.layers)} layers: {stage.layers[0]} … {stage.layers[-1]}{_widths(solution, stage.layers)}"
        table.add_row(stage.tier, what, format_seconds(stage.compute_s), format_bytes(stage.memory_bytes))
    for sent in solution.transmissions:
        tensors = ", ".join(sent.tensors[:3]) + (f" and {len(sent.tensors) - 3} more" if len(sent.tensors) > 3 else "")
        size = format_bytes(sent.payload_bytes)
        table.add_row(f"{sent.source} → {sent.target}", tensors, format_seconds(sent.seconds + sent.serving_s), size)
    if solution.request_s > 0:
        table.add_row("client", "taking the request and answering it", format_seconds(solution.request_s), "")
    return table


def _widths(solution: "Solution", layers: "Sequence[str]") -> str:
    """Which bit widths the layers have, such as `, weights in 2, 8 bits, activations in 4 bits`."""
    widths = solution.plan.widths if solution.plan else {}
    chosen = [widths[name] for name in layers if name in widths]
    kinds = {"weights": {w for w, _ in chosen}, "activations": {a for _, a in chosen}}
    return "".join(f", {kind} in {', '.join(map(str, sorted(bits)))} bits" for kind, bits in kinds.items() if bits)
