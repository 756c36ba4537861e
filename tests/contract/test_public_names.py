"""What others may rely on does not change by accident."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_public_names_are_the_pinned_ones() -> None:
    found = subprocess.run([sys.executable, HERE / "public_names.py"], capture_output=True, text=True, check=True)
    now, pinned = set(found.stdout.split()), set((HERE / "public_names.txt").read_text().split())
    assert not pinned - now, f"public names went away: {sorted(pinned - now)}; if that is meant, run: make pin-names"
    assert not now - pinned, f"new public names: {sorted(now - pinned)}; if they are meant, run: make pin-names"
