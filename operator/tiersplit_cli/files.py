"""Reading and writing files so that mistakes are named and nobody ever sees half a file."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tiersplit_core.errors import InputError, OperationError

MAX_FILE_BYTES = 256 * 2**20


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        InputError: it cannot be read, is no text, or is larger than `MAX_FILE_BYTES`.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"larger than {MAX_FILE_BYTES} bytes", str(path))
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", str(path)) from error


def read_json(path: Path) -> Any:
    """The file's JSON value.

    Raises:
        InputError: as `read_text`, or it is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}", str(path)) from error


def write_json(path: Path, value: object) -> None:
    """Write `value` beside `path`, then put it in its place.

    Raises:
        OperationError: it cannot be written; what was there before is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(value, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OperationError(f"{path} cannot be written: {error}") from error
