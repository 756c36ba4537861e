"""What a plan costs, piece by piece: seconds and bytes per stage and per link."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one tier computes: its layers, seconds and peak memory."""

    tier: str
    layers: tuple[str, ...]
    compute_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Transmission:
    """What one link carries for one request.

    Attributes:
        source: where the tensors come from.
        target: where they go.
        tensors: their names.
        payload_bytes: their bytes.
        seconds: seconds on the link.
        serving_s: seconds that both its ends spend on it.
        way_back: it is the result's way to the result tier.
        bits: bits per element of those tensors that travel quantised.
    """

    source: str
    target: str
    tensors: tuple[str, ...]
    payload_bytes: int
    seconds: float
    serving_s: float = 0.0
    way_back: bool = False
    bits: Mapping[str, int] = field(default_factory=dict)
