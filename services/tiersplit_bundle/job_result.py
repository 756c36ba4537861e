"""How a Job ends: what it pushed, or why it could not, in the termination message that the operator reads."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tiersplit_bundle.layout import check_digest
from tiersplit_core.errors import InputError, TiersplitError

VARIABLE = "TIERSPLIT_TERMINATION_FILE"
DEFAULT_FILE = "/dev/termination-log"
MAX_BYTES = 4096
"""Kubernetes keeps no more of a termination message."""

_MAX_ERROR_CHARACTERS, _MAX_FIELD_CHARACTERS = 700, 200
EXIT_FAILED, EXIT_BAD_INPUT = 1, 2


def finish(work: Callable[[], str], environment: Mapping[str, str] = os.environ) -> int:
    """Do a Job's work and say how it ended.

    Args:
        work: gives the digest of the manifest that it pushed.
        environment: `TIERSPLIT_TERMINATION_FILE` names another file than Kubernetes' default.

    Returns:
        The exit code: 0; 2 where the input is wrong, so that trying again is useless; 1 where it may help.
    """
    try:
        message, code = {"digest": check_digest(work(), "digest")}, 0
    except InputError as error:
        message, code = failure(error.reason, error.path, retry=False), EXIT_BAD_INPUT
    except TiersplitError as error:
        message, code = failure(str(error), retry=True), EXIT_FAILED
    except Exception as error:  # whatever it is, the operator has to learn of it
        traceback.print_exc()
        message, code = failure(f"{type(error).__name__}: {error}", retry=True), EXIT_FAILED
    sys.stderr.write(json.dumps(message) + "\n")
    _write(Path(environment.get(VARIABLE, DEFAULT_FILE)), message)
    return code


def failure(reason: str, field: str = "", *, retry: bool) -> dict[str, Any]:
    """The message of a Job that failed; bounded, since Kubernetes cuts what is longer."""
    found: dict[str, Any] = {"error": "", "field": _bounded(field, _MAX_FIELD_CHARACTERS), "retry": retry}
    limit = _MAX_ERROR_CHARACTERS
    while len(_encoded({**found, "error": _bounded(reason, limit)})) > MAX_BYTES:  # some characters take six bytes
        limit //= 2
    return {**found, "error": _bounded(reason, limit)}


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _encoded(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode(errors="replace")


def _write(path: Path, message: Mapping[str, Any]) -> None:
    """Write it; a Job whose message cannot be written has its exit code and its log."""
    try:
        path.write_bytes(_encoded(message))
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror}\n")
