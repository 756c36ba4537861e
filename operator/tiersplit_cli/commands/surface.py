"""`tiersplit surface`: the best plans over a range of bandwidths, loads and batch sizes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiersplit_cli import problem_input
from tiersplit_cli.batch_sizes import parse_batches
from tiersplit_cli.output import Format, OutputOption, emit, say, working
from tiersplit_cli.problem_input import BundleRequest, check_source, per_link, problems_of_bundle, read_document
from tiersplit_cli.quiet import native_output_on_stderr
from tiersplit_core.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from tiersplit_core.planning.problem import Problem
    from tiersplit_core.planning.surface import Surface

_MAX_BATCH = 65_536


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("surface")(surface)


def surface(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command line
    problem: problem_input.ProblemOption = None,
    bandwidth: Annotated[list[str] | None, typer.Option(help="Range of each link, such as 0.1M:100M.")] = None,
    load: Annotated[list[str] | None, typer.Option(help="Range of each tier's load, such as 1:4.")] = None,
    batches: Annotated[str | None, typer.Option(help="Batch sizes, separated by commas.")] = None,
    epsilon: Annotated[str, typer.Option(help="Loss that may be paid for fewer plans.")] = "0%",
    max_plans: Annotated[int, typer.Option(min=1, max=64, help="How many plans may stay.")] = 8,
    max_solves: Annotated[int, typer.Option(min=1, max=100_000, help="Exact plans per batch size.")] = 400,
    bundle: problem_input.BundleOption = None,
    profile: problem_input.ProfileOption = None,
    latency: problem_input.LatencyOption = None,
    memory: problem_input.MemoryOption = None,
    objective: problem_input.ObjectiveOption = None,
    keep_input: problem_input.RawInputOption = False,
    result_back: problem_input.ResultOption = False,
    save: Annotated[Path | None, typer.Option(help="Write the surface as JSON to this file.")] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Plan for every bandwidth, load and batch size of a range, and keep the few plans that are best somewhere.

    Exit codes: 0, 2 for a bad problem (with the JSON path of the mistake), 3 where nothing satisfies the constraints.
    """
    from tiersplit_core.planning.surface import SurfaceBox, build_surface, surface_to_json  # noqa: PLC0415
    from tiersplit_core.units import parse_percent  # noqa: PLC0415 - --help needs none of this

    request = BundleRequest(bundle, profile, latency, memory, objective, keep_input, result_back)
    check_source(problem, request)
    ranges = [_bandwidths(text) for text in bandwidth or ["0.1M:1G"]]
    sizes = parse_batches(batches, _MAX_BATCH) if batches else None
    if problem is not None:
        problems = _problems_of_document(read_document(problem), sizes)
    else:
        middle = [(least * most) ** 0.5 for least, most in ranges]
        problems = problems_of_bundle(request, middle, sizes or (1,))
    first = next(iter(problems.values()))
    box = SurfaceBox(tuple(per_link(ranges, len(first.links), "--bandwidth")), _loads(load, len(first.tiers)))
    loss = parse_percent(epsilon, "--epsilon")
    with native_output_on_stderr(), working("planning for every bandwidth and load"):
        made = build_surface(problems, box, loss, max_plans, max_solves)
    document = surface_to_json(made)
    if save is not None:
        from tiersplit_cli.files import write_json  # noqa: PLC0415

        write_json(save, document)
        say(f"surface: {save}")
    emit(document, output, lambda: _table(made))


def _problems_of_document(document: Any, sizes: tuple[int, ...] | None) -> "dict[int, Problem]":
    from tiersplit_core.planning.problem_json import problem_from_json  # noqa: PLC0415

    if sizes is not None:
        return {size: problem_from_json(document, size) for size in sizes}
    problem = problem_from_json(document)
    return {problem.batch: problem}


def _bandwidths(text: str) -> tuple[float, float]:
    from tiersplit_core.units import parse_quantity  # noqa: PLC0415

    least, separator, most = text.partition(":")
    low = float(parse_quantity(least, "--bandwidth"))
    high = float(parse_quantity(most, "--bandwidth")) if separator else low
    if not 0 < low <= high:
        raise InputError(f"{text!r} is no range above zero; write it as in 0.1M:100M", "--bandwidth")
    return low, high


def _loads(texts: list[str] | None, tiers: int) -> tuple[tuple[float, float], ...]:
    if not texts:
        return ()
    pairs = []
    for text in texts:
        least, separator, most = text.partition(":")
        try:
            pairs.append((float(least), float(most if separator else least)))
        except ValueError as error:
            raise InputError(f"{text!r} is no range of load; write it as in 1:4", "--load") from error
    if len(pairs) not in (1, tiers):
        raise InputError(f"write it once, or once for each of the {tiers} tiers, not {len(pairs)} times", "--load")
    return tuple(pairs * tiers if len(pairs) == 1 else pairs)


def _table(made: "Surface") -> "Table":
    from rich.table import Table  # noqa: PLC0415 - only tables need it

    from tiersplit_core.planning.surface import Conditions  # noqa: PLC0415
    from tiersplit_core.units import format_bandwidth, format_bytes, format_seconds  # noqa: PLC0415

    batch = made.batches[0]
    middle = Conditions(tuple(link.bandwidth_bps for link in made.links), batch=batch)
    title = f"{len(made.entries)} plans, at most {made.epsilon:.2%} from the optimum {made.scope}"
    table = Table("plan", *made.tiers, "sent", f"{made.objective.value} at the problem's bandwidths", title=title)
    for seconds, entry in made.ranked(middle):
        counts = [str(len(entry.plan.layers_on(tier))) for tier in made.tiers]
        terms = entry.terms.get(batch)
        sent = ", ".join(format_bytes(size) for size in terms.link_bytes) if terms else "-"
        table.add_row(entry.plan.digest[7:19], *counts, sent, format_seconds(seconds))
    changes = [
        f"{link.source}→{link.target} at {format_bandwidth(point.bandwidth_bps)}"
        for k, link in enumerate(made.links)
        for point in made.breakpoints(k, middle)
    ]
    table.caption = "the best plan changes: " + (", ".join(changes) or "nowhere")
    return table
