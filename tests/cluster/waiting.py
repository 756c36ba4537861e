"""Waiting for a condition, bounded in time."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.cluster.layout import ClusterError

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], what: str, timeout_s: float, interval_s: float = 0.1) -> T:
    """Ask until the answer is true, and return it.

    Args:
        condition: asked at least once.
        what: what is waited for, as a clause: "the API server is ready".
        timeout_s: when to give up, in seconds.
        interval_s: seconds between questions.

    Raises:
        ClusterError: the time is over.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise ClusterError(f"{timeout_s:g} s passed before {what}")
        time.sleep(interval_s)
