"""Reading a planning problem from a file or stdin, bounded in size."""

import sys
from pathlib import Path

from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.json_fields import MAX_JSON_CHARACTERS
from tiersplit_core.planning.problem import Problem
from tiersplit_core.planning.problem_json import problem_from_text


def read_problem(path: Path) -> Problem:
    """The problem in a JSON file; `-` is stdin.

    Raises:
        ProblemError: it cannot be read, or is no problem.
    """
    return problem_from_text(_read_text(path))


def _read_text(path: Path) -> str:
    try:
        if str(path) == "-":
            return sys.stdin.read(MAX_JSON_CHARACTERS + 1)
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_JSON_CHARACTERS + 1)
    except OSError as error:
        raise ProblemError(f"cannot be read: {error.strerror}", str(path)) from error
    except UnicodeDecodeError as error:
        raise ProblemError("is no UTF-8 text", str(path)) from error
