"""The measuring process: a job on standard input, its answer on standard output."""

import json
import sys

from tiersplit_stage.measure.job import OUT_OF_MEMORY, Job
from tiersplit_stage.measure.resident import stand_back
from tiersplit_stage.measure.running import measure
from tiersplit_stage.sessions import bound_heap

_NO_MEMORY = ("bad allocation", "bad_alloc", "cannot allocate memory", "out of memory", "failed to allocate")


def main() -> None:
    """Read one job, run it, print its answer."""
    bound_heap()
    stand_back()
    try:
        answer = measure(Job.from_json(json.load(sys.stdin)))
    except Exception as error:
        if not _lacks_memory(error):
            raise
        sys.exit(OUT_OF_MEMORY)
    sys.stdout.write(json.dumps(answer.to_json()) + "\n")


def _lacks_memory(error: Exception) -> bool:
    """The runtime tells of it in words alone, and in various ones."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)


if __name__ == "__main__":
    main()
