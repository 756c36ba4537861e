"""How long tests wait, and how they claim what a machine does in time, on a machine that others use too."""

from collections.abc import Callable

START_S = 120.0
"""Until a process must have started, or a short one ended."""
PATIENCE_S = 60.0
"""For whatever happens soon on a machine that is left alone; what happens sooner costs none of it."""
TRIALS = 5


def holds_in_one(claim: Callable[[], bool], trials: int = TRIALS) -> bool:
    """Whether a claim holds in one of some trials: one that interference can undo at any time and never brings about.

    What must hold every time is asserted within `claim`.

    Args:
        claim: tries it; a machine that is left alone meets it every time.
        trials: at most.
    """
    return any(claim() for _ in range(trials))
