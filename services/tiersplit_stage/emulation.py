"""Makes a stage as slow as the tier that it stands for."""

import time
from collections import defaultdict, deque
from statistics import median

_REMEMBERED = 9


class Emulation:
    """Stretches the seconds of each segment by a factor.

    A slower machine would be steadily slower: what this machine's scheduler does to one run must not be multiplied. So
    a run is stretched to the factor times the median of the segment's last runs at its batch size. Used by the compute
    thread alone.

    Args:
        factor: how much slower the tier is; 1.0 waits for nothing.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._runs: dict[tuple[str, int], deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    def stretch(self, segment: str, rows: int, seconds: float) -> float:
        """Wait for what is missing after `seconds` of computing; returns the seconds that the segment then took."""
        if self._factor <= 1.0:
            return seconds
        runs = self._runs[segment, rows]
        runs.append(seconds)
        missing = self._factor * median(runs) - seconds
        if missing <= 0:
            return seconds
        began = time.perf_counter()
        time.sleep(missing)
        return seconds + time.perf_counter() - began
