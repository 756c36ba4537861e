"""Starting a measuring process and waiting for its answer, bounded in time and size."""

import json
import os
import signal
import subprocess
import sys

from tiersplit_core.errors import OperationError, OutOfMemoryError
from tiersplit_core.units import format_bytes
from tiersplit_stage.measure.job import OUT_OF_MEMORY, Answer, Job

_MAX_ANSWER_BYTES = 256 * 2**20
_START_S = 60.0
_WITHOUT_MEMORY = (OUT_OF_MEMORY, -signal.SIGKILL, -signal.SIGABRT)
"""How a process ends that gave up, that the system ended, or whose runtime could not go on."""


def run_job(job: Job, timeout_s: float) -> Answer:
    """Run `job` in a fresh process.

    Args:
        job: what to measure.
        timeout_s: seconds after which the process is ended, its start not counted.

    Raises:
        OutOfMemoryError: it gave up or was ended because it needed more memory than it may have.
        OperationError: it failed otherwise, or took longer.
    """
    command = [sys.executable, "-m", "tiersplit_stage.measure"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(job.to_json()).encode(),
            capture_output=True,
            timeout=timeout_s + _START_S,
            env={**os.environ, "OMP_NUM_THREADS": str(job.threads)},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OperationError(
            f"measuring took longer than {timeout_s + _START_S:.0f} s; give a larger budget"
        ) from error
    if done.returncode in _WITHOUT_MEMORY:
        raise OutOfMemoryError(f"the measuring process needs more memory than {_allowed(job)} ({_reason(done)})")
    if done.returncode != 0 or len(done.stdout) > _MAX_ANSWER_BYTES:
        raise OperationError(f"the measuring process failed ({_reason(done)})")
    return Answer.from_json(json.loads(done.stdout))


def _reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    """How a signal ended it, or the last line it wrote."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    return lines[-1] if lines else f"exit code {done.returncode}"


def _allowed(job: Job) -> str:
    return "there is" if job.memory_bytes is None else f"the {format_bytes(job.memory_bytes)} that it may have"
