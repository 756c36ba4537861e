"""Starting a measuring process and waiting for its answer, bounded in time and size."""

import json
import os
import subprocess
import sys

from tiersplit_core.errors import OperationError
from tiersplit_stage.measure.job import Answer, Job

_MAX_ANSWER_BYTES = 256 * 2**20
_START_S = 60.0


def run_job(job: Job, timeout_s: float) -> Answer:
    """Run `job` in a fresh process.

    Args:
        job: what to measure.
        timeout_s: seconds after which the process is ended, its start not counted.

    Raises:
        OperationError: it failed, or took longer.
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
    if done.returncode != 0 or len(done.stdout) > _MAX_ANSWER_BYTES:
        raise OperationError(f"the measuring process failed ({_reason(done)})")
    return Answer.from_json(json.loads(done.stdout))


def _reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    """The last line it wrote, or how it ended: -9 is what the system does where memory is short."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode < 0:
        return f"signal {-done.returncode}; where memory is short, give --memory so that chunks are measured"
    return lines[-1] if lines else f"exit code {done.returncode}"
