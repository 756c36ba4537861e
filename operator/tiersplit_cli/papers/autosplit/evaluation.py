"""Splits and widths that the paper names, evaluated on the simulated hardware."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tiersplit_cli.papers.autosplit.simulated import Simulated
from tiersplit_core.cost.arrays import Ints, arrays_of
from tiersplit_core.cost.latency import crossings, objective_s
from tiersplit_core.cost.memory import stage_memory_bytes
from tiersplit_core.cost.widths import at_widths, uniform_choice, width_arrays


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a head at uniform widths costs.

    Attributes:
        seconds: of one request.
        memory_bytes: M^w + M^a of the edge (equation 3).
        sent_elements: elements that cross the link.
    """

    seconds: float
    memory_bytes: int
    sent_elements: int


def head_up_to(on: Simulated, index: Mapping[str, int], last: int) -> Ints:
    """The placement whose head is every layer up to the number `last`; shape (L,)."""
    return np.array([0 if index[layer.name] <= last else 1 for layer in on.graph.layers], dtype=np.int64)


def evaluated(on: Simulated, tiers: Ints, bits: int, sent_bits: int) -> Evaluated:
    """A placement with its head at `bits` bits throughout, 16 being the network as it is, sent at `sent_bits`."""
    sent = {} if bits == sent_bits else {layer.name: sent_bits for layer in on.problem.layers if layer.variants}
    arrays = arrays_of(replace(on.problem, transmission_bits=sent))
    widths = width_arrays(arrays)
    uniform = uniform_choice(widths, bits, bits) if bits < 16 else np.zeros_like(tiers)
    at = at_widths(arrays, widths, np.where(tiers == 0, uniform, 0))
    crossing = crossings(arrays, tiers)[0, 1:]
    elements = sum(layer.elements for layer, crosses in zip(on.graph.layers, crossing, strict=True) if crosses)
    return Evaluated(objective_s(at, tiers), stage_memory_bytes(at, tiers, 0), elements)
