"""Programs of the system that some tests run against: where one is missing, the tests that need it say so and stop."""

import os
import shutil

import pytest


def need(program, package):
    """The program's path; else one loud line, which is a failure where everything must be there."""
    found = shutil.which(program)
    if found is None:
        reason = f"SKIPPED: {program} is not installed; install Debian's package {package} to run this"
        if os.environ.get("REQUIRE_CLUSTER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found
