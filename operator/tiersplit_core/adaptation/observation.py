"""What was seen live: transmissions over links and runs of segments."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkSample:
    """One transmission as its sender saw it.

    Attributes:
        payload_bytes: bytes that were sent.
        seconds: from the first byte to the receipt.
        idle_before: the link was idle when it began, so that `seconds` contain its latency, there and back.
        lost: no receipt came in time; `seconds` is how long was waited.
    """

    payload_bytes: int
    seconds: float
    idle_before: bool = True
    lost: bool = False


@dataclass(frozen=True, slots=True)
class SegmentSample:
    """Runs of one segment: the median seconds at a batch size, and the seconds of its profile there."""

    seconds: float
    profiled_s: float
    runs: int = 1
