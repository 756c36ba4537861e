"""Under which conditions a plan is looked up, and the box of conditions that a surface is made for."""

from collections.abc import Sequence
from dataclasses import dataclass

from tiersplit_core.errors import ProblemError


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is seen or assumed at one moment.

    Attributes:
        bandwidth_bps: bits per second per link; 0 or None where a link is down.
        load: observed over profiled seconds per tier, 1.0 is as profiled; empty where all tiers are as profiled.
        batch: the batch size.
        latency_s: seconds of propagation per link; None for those that the surface was made for.
    """

    bandwidth_bps: tuple[float | None, ...]
    load: tuple[float, ...] = ()
    batch: int = 1
    latency_s: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class SurfaceBox:
    """The conditions that a surface covers.

    Attributes:
        bandwidth_bps: (least, most) bits per second per link.
        load: (least, most) load per tier; empty where all tiers are as profiled.
    """

    bandwidth_bps: tuple[tuple[float, float], ...]
    load: tuple[tuple[float, float], ...] = ()


def checked_box(box: SurfaceBox, links: int, tiers: int) -> SurfaceBox:
    """The box with a load range for every tier.

    Raises:
        ProblemError: it does not fit the links and tiers, or a range is empty or not above zero.
    """
    load = box.load or ((1.0, 1.0),) * tiers
    for name, ranges, count in (("bandwidth", box.bandwidth_bps, links), ("load", load, tiers)):
        if len(ranges) != count:
            raise ProblemError(f"{count} ranges are expected, one for each, not {len(ranges)}", f"box.{name}")
        for i, (least, most) in enumerate(ranges):
            if not 0 < least <= most < float("inf"):
                raise ProblemError(f"{least} to {most} is no range above zero", f"box.{name}[{i}]")
    return SurfaceBox(box.bandwidth_bps, tuple(load))


def loads_of(conditions: Conditions, tiers: int) -> Sequence[float]:
    """The load per tier, 1.0 where none is given."""
    return conditions.load or (1.0,) * tiers
