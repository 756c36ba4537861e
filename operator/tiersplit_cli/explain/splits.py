"""Every split point of the execution order: what a request would cost if the first tier ran the layers before it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints, ProblemArrays
from tiersplit_core.cost.breakdown import Transmission
from tiersplit_core.cost.latency import breakdown
from tiersplit_core.cost.memory import exceeded_tiers


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a request's seconds: `what` is a tier (`edge`) or a link (`edge → mdc`)."""

    what: str
    seconds: float
    is_link: bool


@dataclass(frozen=True, slots=True)
class SplitCost:
    """What one division costs.

    Attributes:
        position: how many layers, in execution order, the first tier runs.
        tiers: tier per layer, by position.
        objective_s: seconds of the objective.
        pieces: compute and transmission seconds in the order of the flow, each with its share of serving.
        allowed: it fits the memory, each tier can run its layers, and the input stays where it must.
    """

    position: int
    tiers: tuple[int, ...]
    objective_s: float
    pieces: tuple[Piece, ...]
    allowed: bool


def cost_of(arrays: ProblemArrays, tiers: Ints, position: int | None = None) -> SplitCost:
    """The cost of a placement given as a tier per layer, shape (L,)."""
    objective_s, _, _ = breakdown(arrays, tiers)
    head = int((tiers == 0).sum()) if position is None else position
    fits = not exceeded_tiers(arrays, tiers) and not len(arrays.misplaced(tiers))
    allowed = fits and not (arrays.forced_first & (tiers > 0)).any()
    return SplitCost(head, tuple(tiers.tolist()), objective_s, pieces_of(arrays, tiers), allowed)


def pieces_of(arrays: ProblemArrays, tiers: Ints) -> tuple[Piece, ...]:
    """Seconds per tier and link in the order of the flow; what is not used is left out.

    What the ends of a link spend on it counts as the link's, what the request's client costs as the first tier's.
    """
    _, stages, transmissions = breakdown(arrays, tiers)
    compute = {stage.tier: stage.compute_s for stage in stages}
    first, request_s = arrays.problem.tiers[0].name, float(arrays.request_s.sum())
    if request_s > 0:
        compute[first] = compute.get(first, 0.0) + request_s
    forward = {sent.source: sent for sent in transmissions if not sent.way_back}
    found = []
    for tier in arrays.problem.tiers:
        if tier.name in compute:
            found.append(Piece(tier.name, compute[tier.name], is_link=False))
        if tier.name in forward:
            sent = forward[tier.name]
            found.append(_piece(sent))
    return (*found, *(_piece(sent) for sent in transmissions if sent.way_back))


def _piece(sent: Transmission) -> Piece:
    return Piece(f"{sent.source} → {sent.target}", sent.seconds + sent.serving_s, is_link=True)


def tiers_from(arrays: ProblemArrays, continuation: Sequence[Ints], start: int) -> Ints:
    """Tier per layer where the first tier ends before layer `start`, and the others where `continuation` has them."""
    ends = np.array([start, *_follow(continuation, start)][: arrays.tiers - 1])
    return np.searchsorted(ends, np.arange(arrays.layers), side="right").astype(np.int64)


def _follow(continuation: Sequence[Ints], start: int) -> list[int]:
    ends, at = [], start
    for best in continuation:
        at = int(best[at])
        ends.append(at)
    return ends


def continuations(arrays: ProblemArrays) -> list[Ints]:
    """For tiers 1 … M − 2: where the tier best ends, given where it starts, shape (L + 1,) each; layers as they are.

    A dynamic program over (tier, split point): the cost of a link depends on its split point alone, so the best
    continuation of every prefix follows from those of the next tier. O(M·L²) numpy operations, M tiers, L layers.
    """
    count = arrays.layers + 1
    prefix = np.vstack([np.zeros(arrays.tiers), np.cumsum(arrays.seconds, axis=0)])
    combine = np.maximum if arrays.throughput else np.add
    value: Floats = prefix[-1, -1] - prefix[:, -1]
    found: list[Ints] = []
    for tier in range(arrays.tiers - 2, 0, -1):
        after = combine(link_seconds(arrays, tier), value)
        inside = prefix[None, :, tier] - prefix[:, None, tier]
        total = np.where(np.tri(count, k=-1, dtype=bool), np.inf, combine(inside, after[None, :]))
        best = total.argmin(axis=1)
        value = total[np.arange(count), best]
        found.append(best.astype(np.int64))
    return found[::-1]


def link_seconds(arrays: ProblemArrays, link: int) -> Floats:
    """Seconds of a link and its ends per split point, shape (L + 1,), if everything before it lies before the link."""
    count = arrays.layers + 1
    crossing = np.zeros((2, count + 1), dtype=np.int64)
    last = np.full(count, -1)
    np.maximum.at(last, arrays.read_value, arrays.read_layer)
    # Value v (made by layer v - 1) crosses the split points v … last reader; one of no bytes uses the link as well.
    for value, reader in enumerate(last.tolist()):
        if reader >= value:
            amount = (arrays.sent_bytes[value], 1)
            crossing[:, value] += amount
            crossing[:, reader + 1] -= amount
    size, values = np.cumsum(crossing, axis=1)[:, :count]
    trips = crossed = (values > 0).astype(np.int64)
    if arrays.way_back:
        back = np.zeros(count, dtype=np.int64)
        for layer in arrays.outputs.tolist():
            back[: layer + 1] += arrays.value_bytes[layer + 1]
        size, trips = size + back, trips + (np.arange(count) <= arrays.outputs.max())
    seconds = trips * arrays.latency_s[link] + (crossed * arrays.hop_s[:, link].sum() + size * arrays.s_per_byte[link])
    return np.asarray(seconds, dtype=np.float64)
