"""What a plan costs, piece by piece: seconds and bytes per stage and per link."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one tier computes: its layers, seconds and peak memory."""

    tier: str
    layers: tuple[str, ...]
    compute_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Transmission:
    """What one link carries for one request; `way_back` marks the result's way to the result tier."""

    source: str
    target: str
    tensors: tuple[str, ...]
    payload_bytes: int
    seconds: float
    way_back: bool = False
