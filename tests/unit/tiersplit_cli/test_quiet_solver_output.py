import subprocess
import sys

from tests.support.patience import START_S

SCRIPT = """
import ctypes, sys
from tiersplit_cli.quiet import native_output_on_stderr
with native_output_on_stderr():
    ctypes.CDLL(None).puts(b"noise")
print("result")
"""


def test_what_c_code_prints_does_not_reach_the_results():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=START_S)
    assert done.stdout == "result\n"
    assert "noise" in done.stderr
