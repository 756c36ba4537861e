"""A problem as numpy arrays: what evaluation and solvers compute with.

Values are numbered 0 (the model's input) and i + 1 (what layer i computes); tiers and links by their position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.cost.payload import sent_payload_bytes
from tiersplit_core.cost.problem import CANNOT_RUN_S, INPUT, MemoryModel, Objective, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LEAST_LOAD = 1e-3


@dataclass(frozen=True)
class ProblemArrays:
    """The numbers of a problem with L layers, M tiers, M - 1 links and E reads.

    Attributes:
        problem: where the numbers come from.
        seconds: seconds per layer and tier, shape (L, M).
        value_bytes: bytes per value as it is computed and read at full width, shape (L + 1,).
        own_bytes: bytes per value on the tier that computes it, shape (L + 1,); fewer where that tier quantises it.
        sent_bytes: bytes per value on a link, shape (L + 1,).
        sent_bits: bits per element on a link, shape (L + 1,); 0 for values that travel as they are.
        weight_bytes: bytes of weights per layer, shape (L,).
        read_value: the value that is read, shape (E,).
        read_layer: the layer that reads it, shape (E,), ascending.
        outputs: layers whose values are the result.
        bandwidth_bps: per link, shape (M - 1,).
        latency_s: per link, shape (M - 1,).
        limits: memory per tier in bytes, None where it is not limited.
        request_s: seconds that each tier spends on any request, shape (M,).
        hop_s: seconds that each tier spends where a link is used, shape (M, M - 1).
        hop_s_per_byte: the same per byte that crosses the link in either direction, shape (M, M - 1).
    """

    problem: Problem
    seconds: Floats
    value_bytes: Ints
    own_bytes: Ints
    sent_bytes: Ints
    sent_bits: Ints
    weight_bytes: Ints
    read_value: Ints
    read_layer: Ints
    outputs: Ints
    bandwidth_bps: Floats
    latency_s: Floats
    limits: tuple[int | None, ...]
    request_s: Floats
    hop_s: Floats
    hop_s_per_byte: Floats

    @property
    def layers(self) -> int:
        """L, the number of layers."""
        return len(self.seconds)

    @property
    def tiers(self) -> int:
        """M, the number of tiers."""
        return int(self.seconds.shape[1])

    @property
    def way_back(self) -> bool:
        """Whether the result is needed on the first tier."""
        return self.problem.result_tier is not None

    @property
    def quantised(self) -> bool:
        """Whether any layer may run at other bit widths than its own."""
        return any(layer.variants for layer in self.problem.layers)

    def held_bytes(self, tier: int, tiers: Ints) -> Ints:
        """Bytes per value on `tier`, shape (L + 1,), for a tier per layer: what comes from elsewhere has full width."""
        source = np.concatenate(([0], tiers))
        held = np.where(source == tier, self.own_bytes, self.value_bytes)
        if self.counts_as_paper:
            held[0] = 0
        return held

    @property
    def counts_as_paper(self) -> bool:
        """Whether memory is counted as AUTO-SPLIT does, without the input and at the end of each step."""
        return self.problem.memory_model is MemoryModel.AUTOSPLIT

    @property
    def throughput(self) -> bool:
        """Whether the slowest stage or link counts, not the sum."""
        return self.problem.objective is Objective.THROUGHPUT

    @property
    def used_s(self) -> Floats:
        """Seconds of using each link forward at all: its latency and what both its ends spend, shape (M - 1,)."""
        return np.asarray(self.latency_s + self.hop_s.sum(axis=0))

    @property
    def s_per_byte(self) -> Floats:
        """Seconds per byte of each link, with what both its ends spend on it, shape (M - 1,)."""
        return np.asarray(8.0 / self.bandwidth_bps + self.hop_s_per_byte.sum(axis=0))

    def under_loads(self, loads: Floats) -> "ProblemArrays":
        """The same with every second that a tier computes or serves times its load, shape (M,)."""
        return replace(
            self,
            seconds=self.seconds * loads,
            request_s=self.request_s * loads,
            hop_s=self.hop_s * loads[:, None],
            hop_s_per_byte=self.hop_s_per_byte * loads[:, None],
        )

    @cached_property
    def limited(self) -> bool:
        """Whether any tier's memory is limited."""
        return any(limit is not None for limit in self.limits)

    @cached_property
    def forced_first(self) -> Bools:
        """Layers that must be on the first tier: where the input may not leave it, its readers and all they need."""
        forced = np.zeros(self.layers, dtype=bool)
        if self.problem.raw_input_tier is None:
            return forced
        forced[self.read_layer[self.read_value == 0]] = True
        # Reads ascend by reader, so one walk from the last reader to the first reaches every ancestor.
        for value, layer in zip(self.read_value[::-1].tolist(), self.read_layer[::-1].tolist(), strict=True):
            if value and forced[layer]:
                forced[value - 1] = True
        return forced

    @property
    def able(self) -> Bools:
        """Whether each tier can run each layer, shape (L, M)."""
        return np.asarray(self.seconds < CANNOT_RUN_S * _LEAST_LOAD)

    def misplaced(self, tiers: Ints) -> Ints:
        """The layers on tiers that cannot run them, for a tier per layer, shape (L,)."""
        return np.flatnonzero(~self.able[np.arange(self.layers), tiers])

    def tiers_of(self, placement: Mapping[str, str]) -> Ints:
        """The tier's position per layer, shape (L,), of a placement by names."""
        position = {tier.name: i for i, tier in enumerate(self.problem.tiers)}
        return np.array([position[placement[layer.name]] for layer in self.problem.layers], dtype=np.int64)

    def placement_of(self, tiers: Ints) -> dict[str, str]:
        """The placement by names of tier positions, shape (L,)."""
        names = [tier.name for tier in self.problem.tiers]
        places = tiers.tolist()
        return {layer.name: names[place] for layer, place in zip(self.problem.layers, places, strict=True)}


def arrays_of(problem: Problem) -> ProblemArrays:
    """The arrays of a problem."""
    layers = problem.layers
    index = {INPUT: 0, **{layer.name: i + 1 for i, layer in enumerate(layers)}}
    tiers = [tier.name for tier in problem.tiers]
    inputs = [dict.fromkeys(layer.inputs) for layer in layers]
    # Few long lists become arrays several times faster than many short ones.
    seconds = np.array([[layer.seconds[tier] for layer in layers] for tier in tiers], dtype=np.float64).T
    value_bytes = np.array([problem.input_bytes, *(layer.output_bytes for layer in layers)], dtype=np.int64)
    sent_bytes, sent_bits = _sent(problem, value_bytes)
    return ProblemArrays(
        problem=problem,
        seconds=np.ascontiguousarray(seconds),
        value_bytes=value_bytes,
        own_bytes=value_bytes,
        sent_bytes=sent_bytes,
        sent_bits=sent_bits,
        weight_bytes=np.array([layer.weight_bytes for layer in layers], dtype=np.int64),
        read_value=np.array([index[name] for names in inputs for name in names], dtype=np.int64),
        read_layer=np.repeat(np.arange(len(layers)), [len(names) for names in inputs]),
        outputs=np.array([index[name] - 1 for name in problem.outputs], dtype=np.int64),
        bandwidth_bps=np.array([link.bandwidth_bps for link in problem.links], dtype=np.float64),
        latency_s=np.array([link.latency_s for link in problem.links], dtype=np.float64),
        limits=tuple(tier.memory_bytes for tier in problem.tiers),
        request_s=np.array([problem.tiers[0].serving.request_s, *[0.0] * (len(tiers) - 1)]),
        hop_s=_hops([(tier.serving.send_s, tier.serving.receive_s) for tier in problem.tiers]),
        hop_s_per_byte=_hops(
            [(tier.serving.send_s_per_byte, tier.serving.receive_s_per_byte) for tier in problem.tiers]
        ),
    )


def _hops(ends: Sequence[tuple[float, float]]) -> Floats:
    """What each tier spends on each link, shape (M, M - 1), from what it spends as its sender and as its receiver."""
    spent = np.zeros((len(ends), len(ends) - 1))
    for link in range(len(ends) - 1):
        spent[link, link], spent[link + 1, link] = ends[link][0], ends[link + 1][1]
    return spent


def _sent(problem: Problem, value_bytes: Ints) -> tuple[Ints, Ints]:
    """Bytes and bits per element of each value on a link, shape (L + 1,) each."""
    sent_bytes, sent_bits = value_bytes.copy(), np.zeros_like(value_bytes)
    for i, layer in enumerate(problem.layers, start=1):
        bits = problem.transmission_bits.get(layer.name)
        if bits is not None and layer.elements is not None:
            sent_bytes[i], sent_bits[i] = sent_payload_bytes(layer.name, layer.elements, bits, problem.batch), bits
    return sent_bytes, sent_bits
