"""Reading planning problems: from a file or stdin, or from a bundle and the profiles of its tiers."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiersplit_cli.fewer_bits import NOTHING_SAID, Narrowing, given_of
from tiersplit_core.errors import InputError, ProblemError, ProfileError

if TYPE_CHECKING:
    from tiersplit_bundle.bundle import Bundle
    from tiersplit_cli.planned import Given
    from tiersplit_core.planning.problem import Link, Problem
    from tiersplit_core.profile.layers import TierProfile

ProblemOption = Annotated[Path | None, typer.Option(help="The planning problem as JSON; - reads it from stdin.")]
BundleOption = Annotated[Path | None, typer.Option("--bundle", "-b", help="A bundle, instead of --problem.")]
ProfileOption = Annotated[
    list[Path] | None, typer.Option("--profile", help="A tier's profile; one for each tier, first tier first.")
]
LatencyOption = Annotated[list[str] | None, typer.Option("--latency", help="Of each link, such as 40ms; for --bundle.")]
MemoryOption = Annotated[
    list[str] | None, typer.Option("--memory", help="Limit of a tier, such as edge=256Mi; for --bundle.")
]
ObjectiveOption = Annotated[str | None, typer.Option(help="latency (default) or throughput; for --bundle.")]
BandwidthOption = Annotated[list[str] | None, typer.Option(help="Of each link, such as 10M; for --bundle.")]
BatchOption = Annotated[
    int | None, typer.Option(min=1, max=65_536, help="Batch size, where seconds are per batch size.")
]
RawInputOption = Annotated[bool, typer.Option("--keep-input", help="The input stays on the first tier; for --bundle.")]
ResultOption = Annotated[bool, typer.Option("--result-back", help="The first tier needs the result; for --bundle.")]

_SECONDS = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(us|ms|s)$")


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What the command line says about a bundle's problem, as it was typed.

    Attributes:
        bundle: the bundle's directory; None where the problem comes from elsewhere and nothing else may be given.
        profiles: a profile's file per tier.
        latency: per link, such as `40ms`.
        memory: such as `edge=256Mi`.
        objective: latency or throughput; None: latency.
        keep_input: whether the input stays on the first tier.
        result_back: whether the first tier needs the result.
        narrowing: about bit widths.
    """

    bundle: Path | None
    profiles: Sequence[Path] | None = None
    latency: Sequence[str] | None = None
    memory: Sequence[str] | None = None
    objective: str | None = None
    keep_input: bool = False
    result_back: bool = False
    narrowing: Narrowing = NOTHING_SAID


def check_source(problem: Path | None, request: BundleRequest) -> None:
    """Make sure that a problem is given either as a document or by a bundle, and nothing that would be ignored.

    Raises:
        InputError: neither or both are given, or the document's problem has an option that only bundles have.
    """
    if (problem is None) == (request.bundle is None):
        raise InputError("write either --problem or --bundle", "--problem")
    options = {
        "--profile": request.profiles,
        "--latency": request.latency,
        "--memory": request.memory,
        "--objective": request.objective,
        "--keep-input": request.keep_input,
        "--result-back": request.result_back,
    }
    typed = [option for option, given in options.items() if given]
    for option in (*typed, *request.narrowing.options):
        if problem is not None:
            raise InputError("it is for --bundle; a problem says it itself", option)


def given_problem(
    problem: Path | None, request: BundleRequest, bandwidth: Sequence[str] | None, batch: int | None
) -> "Given":
    """The one problem that the command line asks about, with the bit widths that its bundle knows of.

    Args:
        problem: a document, or None.
        request: what is said about a bundle.
        bandwidth: of each link of the bundle's problem, such as `10M`.
        batch: the batch size, where the source leaves it open.

    Raises:
        InputError: the problem, the bundle, a profile or an option is wrong.
    """
    from tiersplit_cli.planned import Given  # noqa: PLC0415 - numpy is not needed for --help
    from tiersplit_core.planning.problem_json import problem_from_json  # noqa: PLC0415
    from tiersplit_core.units import parse_quantity  # noqa: PLC0415

    check_source(problem, request)
    if problem is not None:
        if bandwidth:
            raise InputError("it is for --bundle; a problem says it itself", "--bandwidth")
        return Given(problem_from_json(read_document(problem), batch))
    bits = [float(parse_quantity(text, "--bandwidth")) for text in bandwidth or ()]
    if not bits or min(bits) <= 0:
        raise InputError("--bundle needs a bandwidth above zero for its links, such as 10M", "--bandwidth")
    bundle, profiles = _opened(request)
    as_it_is = _problem_of(request, bundle, profiles, bits, batch or 1)
    return given_of(as_it_is, bundle, next(iter(profiles.values())), request.narrowing)


def read_document(path: Path) -> Any:
    """The JSON value in a file, bounded in size; `-` is stdin.

    Raises:
        ProblemError: it cannot be read, or is no JSON; the error names the file, line and column.
    """
    from tiersplit_core.planning.json_fields import MAX_JSON_CHARACTERS, parse_json  # noqa: PLC0415

    try:
        if str(path) == "-":
            return parse_json(sys.stdin.read(MAX_JSON_CHARACTERS + 1), "stdin")
        with path.open(encoding="utf-8") as file:
            return parse_json(file.read(MAX_JSON_CHARACTERS + 1), str(path))
    except OSError as error:
        raise ProblemError(f"cannot be read: {error.strerror}", str(path)) from error
    except UnicodeDecodeError as error:
        raise ProblemError("is no UTF-8 text", str(path)) from error


def problems_of_bundle(
    request: BundleRequest, bandwidth_bps: Sequence[float], batches: Sequence[int]
) -> "dict[int, Problem]":
    """The problem of a bundle per batch size.

    Args:
        request: its bundle is given.
        bandwidth_bps: of each link, or one for all.
        batches: batch sizes.

    Raises:
        InputError: the bundle, a profile or an option is wrong.
    """
    bundle, profiles = _opened(request)
    return {batch: _problem_of(request, bundle, profiles, bandwidth_bps, batch) for batch in batches}


def _opened(request: BundleRequest) -> "tuple[Bundle, dict[str, TierProfile]]":
    """The bundle, and its profiles by tier, first tier first."""
    from tiersplit_bundle.bundle import Bundle  # noqa: PLC0415 - only problems of bundles need it

    if request.bundle is None:
        raise InputError("write the bundle's directory", "--bundle")
    bundle = Bundle.open(request.bundle)
    return bundle, _read_profiles(request.profiles or (), bundle.graph_digest)


def _problem_of(
    request: BundleRequest,
    bundle: "Bundle",
    profiles: "dict[str, TierProfile]",
    bandwidth_bps: Sequence[float],
    batch: int,
) -> "Problem":
    from tiersplit_core.planning.build import problem_from_profiles  # noqa: PLC0415
    from tiersplit_core.planning.problem import Objective, Tier  # noqa: PLC0415

    names = list(profiles)
    objective = request.objective or Objective.LATENCY.value
    if objective not in [objective.value for objective in Objective]:
        raise InputError(f"{objective!r} is neither latency nor throughput", "--objective")
    limits = _limits(request.memory or (), names)
    return problem_from_profiles(
        bundle.graph,
        profiles,
        [Tier(name, limits.get(name)) for name in names],
        _links(names, bandwidth_bps, request.latency or ["0s"]),
        Objective(objective),
        names[0] if request.keep_input else None,
        names[0] if request.result_back else None,
        batch,
    )


def per_link(values: Sequence[Any], links: int, option: str) -> list[Any]:
    """One value per link: as many as there are links, or one for all.

    Raises:
        InputError: there are others.
    """
    if len(values) not in (1, links):
        raise InputError(f"write it once, or once for each of the {links} links, not {len(values)} times", option)
    return list(values) * links if len(values) == 1 else list(values)


def _read_profiles(paths: Sequence[Path], graph: str) -> "dict[str, TierProfile]":
    found: dict[str, TierProfile] = {}
    for path in paths:
        profile = _read_profile(path, graph)
        if profile.tier in found:
            raise InputError(f"the tier {profile.tier!r} has two profiles", str(path))
        found[profile.tier] = profile
    if not 2 <= len(found) <= 6:
        raise InputError(f"2 to 6 tiers are expected, a profile for each, not {len(found)}", "--profile")
    return found


def _read_profile(path: Path, graph: str) -> "TierProfile":
    from tiersplit_core.profile.json import profile_from_json  # noqa: PLC0415

    document = read_document(path)
    try:
        return profile_from_json(document, graph_digest=graph)
    except ProfileError as error:
        raise ProfileError(error.reason, f"{path}: {error.path}") from error


def _limits(memory: Sequence[str], names: Sequence[str]) -> Mapping[str, int]:
    from tiersplit_core.units import parse_quantity  # noqa: PLC0415

    found: dict[str, int] = {}
    for text in memory:
        name, _, size = text.partition("=")
        if name not in names or name in found:
            raise InputError(
                f"{text!r} is no limit; write one of {', '.join(names)} with a size: edge=256Mi", "--memory"
            )
        found[name] = parse_quantity(size, "--memory")
    return found


def _links(names: Sequence[str], bandwidth_bps: Sequence[float], latency: Sequence[str]) -> "list[Link]":
    from tiersplit_core.planning.problem import Link  # noqa: PLC0415

    links = len(names) - 1
    bandwidths = per_link(bandwidth_bps, links, "--bandwidth")
    latencies = per_link(latency, links, "--latency")
    return [Link(names[i], names[i + 1], bandwidths[i], _seconds(latencies[i])) for i in range(links)]


def _seconds(text: str) -> float:
    match = _SECONDS.match(text)
    if match is None:
        raise InputError(f"{text!r} is no duration; write it as in 40ms, 500us or 1.5s", "--latency")
    return float(match.group(1)) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[match.group(2)]
