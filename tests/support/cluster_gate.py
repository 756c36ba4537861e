"""Whether tests that need a cluster run, are skipped, or fail because it is required."""

import os
from collections.abc import Sequence

import pytest

REQUIRE = "REQUIRE_CLUSTER"
"""Set to 1 (as CI does) it turns what would be skipped into a failure."""


def need(what: str, lacking: Sequence[str]) -> None:
    """Skip the test, or fail it where a cluster is required, if anything is lacking for it.

    Args:
        what: what the test needs: "a real API server".
        lacking: one sentence for each thing that is missing.
    """
    if not lacking:
        return
    reason = f"NO {what.upper()}: {'; '.join(lacking)}"
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1 makes this a failure)", pytrace=False)
    pytest.skip(reason)
