"""What a solver may be told besides the problem."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SolverOptions:
    """Options that solvers and baselines share.

    Attributes:
        time_limit_s: seconds that a searching solver may take.
        seed: seed of baselines that draw.
        clock: seconds that only rise; what the time limit is measured with.
    """

    time_limit_s: float = 10.0
    seed: int = 0
    clock: Callable[[], float] = time.monotonic
