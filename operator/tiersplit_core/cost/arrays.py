"""A problem as numpy arrays: what evaluation and solvers compute with.

Values are numbered 0 (the model's input) and i + 1 (what layer i computes); tiers and links by their position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.cost.problem import INPUT, Objective, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class ProblemArrays:
    """The numbers of a problem with L layers, M tiers, M - 1 links and E reads.

    Attributes:
        problem: where the numbers come from.
        seconds: seconds per layer and tier, shape (L, M).
        value_bytes: bytes per value, shape (L + 1,).
        weight_bytes: bytes of weights per layer, shape (L,).
        read_value: the value that is read, shape (E,).
        read_layer: the layer that reads it, shape (E,), ascending.
        outputs: layers whose values are the result.
        bandwidth_bps: per link, shape (M - 1,).
        latency_s: per link, shape (M - 1,).
        limits: memory per tier in bytes, None where it is not limited.
    """

    problem: Problem
    seconds: Floats
    value_bytes: Ints
    weight_bytes: Ints
    read_value: Ints
    read_layer: Ints
    outputs: Ints
    bandwidth_bps: Floats
    latency_s: Floats
    limits: tuple[int | None, ...]

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
    def throughput(self) -> bool:
        """Whether the slowest stage or link counts, not the sum."""
        return self.problem.objective is Objective.THROUGHPUT

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
    return ProblemArrays(
        problem=problem,
        seconds=np.ascontiguousarray(seconds),
        value_bytes=np.array([problem.input_bytes, *(layer.output_bytes for layer in layers)], dtype=np.int64),
        weight_bytes=np.array([layer.weight_bytes for layer in layers], dtype=np.int64),
        read_value=np.array([index[name] for names in inputs for name in names], dtype=np.int64),
        read_layer=np.repeat(np.arange(len(layers)), [len(names) for names in inputs]),
        outputs=np.array([index[name] - 1 for name in problem.outputs], dtype=np.int64),
        bandwidth_bps=np.array([link.bandwidth_bps for link in problem.links], dtype=np.float64),
        latency_s=np.array([link.latency_s for link in problem.links], dtype=np.float64),
        limits=tuple(tier.memory_bytes for tier in problem.tiers),
    )
