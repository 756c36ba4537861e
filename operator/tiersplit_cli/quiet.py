"""Keeping what native libraries print away from the results on stdout."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def native_output_on_stderr() -> Iterator[None]:
    """Send what C code prints to stderr meanwhile: HiGHS prints debugging lines now and then, whatever it is told."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        # C keeps what it printed in a buffer of its own, which would otherwise come out after the switch back.
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
