"""Seconds of a placement: per stage, per link, and the objective made of them (design §4.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays, arrays_of
from tiersplit_core.cost.breakdown import StageCost, Transmission
from tiersplit_core.cost.memory import stage_memory_bytes
from tiersplit_core.cost.problem import INPUT, Problem
from tiersplit_core.graph.working_set import furthest_tier


@dataclass(frozen=True, slots=True)
class Terms:
    """What a placement's seconds are made of; every objective is a function of these.

    Attributes:
        compute_s: seconds of layers per tier, shape (M,).
        serving_s: seconds that each tier spends on the request besides its layers, shape (M,).
        payload_bytes: bytes forward per link, shape (M - 1,).
        used: whether a tensor crosses the link forward, shape (M - 1,).
        back_bytes: bytes of the result's way back per link, shape (M - 1,).
        back_used: whether the result crosses the link on its way back, shape (M - 1,).
    """

    compute_s: Floats
    serving_s: Floats
    payload_bytes: Ints
    used: Bools
    back_bytes: Ints
    back_used: Bools

    @property
    def tier_s(self) -> Floats:
        """All seconds per tier, shape (M,)."""
        return self.compute_s + self.serving_s

    @property
    def link_bytes(self) -> Ints:
        """Bytes per link in both directions, shape (M - 1,)."""
        return self.payload_bytes + self.back_bytes

    @property
    def link_trips(self) -> Ints:
        """How often each link's latency is paid: 0, 1, or 2 with a way back, shape (M - 1,)."""
        return self.used.astype(np.int64) + self.back_used


def crossings(arrays: ProblemArrays, tiers: Ints) -> Bools:
    """Which values cross which link forward, shape (M - 1, L + 1), for a tier per layer, shape (L,)."""
    source = np.concatenate(([0], tiers))
    furthest = furthest_tier(tiers, arrays.read_value, arrays.read_layer)
    links = np.arange(arrays.tiers - 1)[:, None]
    return np.asarray((source <= links) & (furthest > links))


def terms_of(arrays: ProblemArrays, tiers: Ints) -> Terms:
    """The terms of a placement given as a tier per layer, shape (L,)."""
    crossing = crossings(arrays, tiers)
    compute = np.bincount(tiers, arrays.seconds[np.arange(arrays.layers), tiers], arrays.tiers)
    links = np.arange(arrays.tiers - 1)[:, None]
    back = (tiers[arrays.outputs] > links) & arrays.way_back
    payload_bytes, back_bytes = crossing @ arrays.sent_bytes, back @ arrays.value_bytes[arrays.outputs + 1]
    used = np.asarray(crossing.any(axis=1))
    return Terms(
        compute_s=np.asarray(compute, dtype=np.float64),
        serving_s=arrays.request_s + arrays.hop_s @ used + arrays.hop_s_per_byte @ (payload_bytes + back_bytes),
        payload_bytes=payload_bytes,
        used=used,
        back_bytes=back_bytes,
        back_used=np.asarray(back.any(axis=1)),
    )


def objective_of(arrays: ProblemArrays, terms: Terms) -> float:
    """The objective in seconds: the sum for latency, the largest tier or link for throughput.

    A tier's seconds are those of its layers and of serving: one processor does both. A link's seconds contain the
    result's way back, which shares the link's bandwidth.
    """
    link_s = terms.link_trips * arrays.latency_s + 8.0 * terms.link_bytes / arrays.bandwidth_bps
    if arrays.throughput:
        return float(max(terms.tier_s.max(), link_s.max()))
    return float(terms.tier_s.sum() + link_s.sum())


def objective_s(arrays: ProblemArrays, tiers: Ints) -> float:
    """The objective in seconds of a placement given as a tier per layer, shape (L,)."""
    return objective_of(arrays, terms_of(arrays, tiers))


def breakdown(arrays: ProblemArrays, tiers: Ints) -> tuple[float, tuple[StageCost, ...], tuple[Transmission, ...]]:
    """The objective, the stages and the transmissions of a placement given as a tier per layer, shape (L,)."""
    terms = terms_of(arrays, tiers)
    return objective_of(arrays, terms), _stages(arrays, tiers, terms), _transmissions(arrays, tiers, terms)


def evaluate(
    problem: Problem, placement: Mapping[str, str]
) -> tuple[float, tuple[StageCost, ...], tuple[Transmission, ...]]:
    """What a placement costs.

    Args:
        problem: the problem.
        placement: tier name per layer name; data must flow forwards.

    Returns:
        The objective in seconds, the stages that have layers, and the transmissions of the links that are used.
    """
    arrays = arrays_of(problem)
    return breakdown(arrays, arrays.tiers_of(placement))


def _stages(arrays: ProblemArrays, tiers: Ints, terms: Terms) -> tuple[StageCost, ...]:
    names = np.array([layer.name for layer in arrays.problem.layers], dtype=object)
    return tuple(
        StageCost(
            tier.name,
            tuple(names[tiers == i].tolist()),
            float(terms.compute_s[i]),
            stage_memory_bytes(arrays, tiers, i),
        )
        for i, tier in enumerate(arrays.problem.tiers)
        if (tiers == i).any()
    )


def _transmissions(arrays: ProblemArrays, tiers: Ints, terms: Terms) -> tuple[Transmission, ...]:
    names = [INPUT, *(layer.name for layer in arrays.problem.layers)]
    crossing = crossings(arrays, tiers)
    forward, back = [], []
    for i, link in enumerate(arrays.problem.links):
        if terms.used[i]:
            values = np.flatnonzero(crossing[i]).tolist()
            tensors = tuple(names[value] for value in values)
            bits = {names[value]: int(arrays.sent_bits[value]) for value in values if arrays.sent_bits[value]}
            size = int(terms.payload_bytes[i])
            seconds = link.latency_s + 8.0 * size / link.bandwidth_bps
            serving_s = float(arrays.hop_s[:, i].sum() + arrays.hop_s_per_byte[:, i].sum() * size)
            forward.append(Transmission(link.source, link.target, tensors, size, seconds, serving_s, bits=bits))
        if terms.back_used[i]:
            results = tuple(names[layer + 1] for layer in arrays.outputs.tolist() if tiers[layer] > i)
            size = int(terms.back_bytes[i])
            seconds = link.latency_s + 8.0 * size / link.bandwidth_bps
            serving_s = float(arrays.hop_s_per_byte[:, i].sum() * size)
            back.append(Transmission(link.target, link.source, results, size, seconds, serving_s, way_back=True))
    return (*forward, *reversed(back))
