"""The measuring process: a job on standard input, its answer on standard output."""

import json
import sys

from tiersplit_stage.measure.job import Job
from tiersplit_stage.measure.running import measure
from tiersplit_stage.sessions import bound_heap


def main() -> None:
    """Read one job, run it, print its answer."""
    bound_heap()
    answer = measure(Job.from_json(json.load(sys.stdin)))
    sys.stdout.write(json.dumps(answer.to_json()) + "\n")


if __name__ == "__main__":
    main()
