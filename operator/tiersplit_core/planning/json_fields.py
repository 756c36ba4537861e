"""Checked reading of JSON values: every mistake is a `ProblemError` with its path and what to write instead."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tiersplit_core.errors import ProblemError

MAX_JSON_CHARACTERS = 64 * 2**20
MAX_BYTES = 2**48
MAX_NAME_LENGTH = 512


def parse_json(text: str, path: str = "$") -> Any:
    """The JSON value of `text`; bounded in size, without NaN, infinities or repeated keys.

    Raises:
        ProblemError: it is no such JSON.
    """
    if len(text) > MAX_JSON_CHARACTERS:
        raise ProblemError(f"more than {MAX_JSON_CHARACTERS} characters", path)
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ProblemError(f"no JSON: {error.msg} at line {error.lineno} column {error.colno}", path) from error
    except RecursionError as error:
        raise ProblemError("nested too deeply", path) from error
    except ValueError as error:
        raise ProblemError(f"no JSON: {error}", path) from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ProblemError(f"the key {repeated!r} is given twice in one object", repeated)
    return found


def _no_constant(name: str) -> float:
    raise ProblemError(f"{name} is no JSON number; write a finite number", "$")


def read_object(
    value: Any, path: str, required: Sequence[str], optional: Sequence[str] = (), later: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """`value` as an object with these keys.

    Args:
        value: what was given.
        path: where it stands.
        required: keys that must be there.
        optional: keys that may be there.
        later: keys of the contract that are refused, with what to do instead.
    """
    if not isinstance(value, dict):
        raise ProblemError(f"an object is expected, not {_kind(value)}", path or "$")
    for key in value:
        if later and key in later:
            raise ProblemError(f"not supported: {later[key]}", join(path, key))
        if key not in required and key not in optional:
            known = ", ".join((*required, *optional))
            raise ProblemError(f"unknown key; known here are {known}", join(path, key))
    for key in required:
        if key not in value:
            raise ProblemError("missing", join(path, key))
    return value


def read_list(value: Any, path: str, minimum: int, maximum: int) -> list[Any]:
    """`value` as a list of `minimum` to `maximum` entries."""
    if not isinstance(value, list):
        raise ProblemError(f"a list is expected, not {_kind(value)}", path)
    if not minimum <= len(value) <= maximum:
        raise ProblemError(f"{minimum} to {maximum} entries are expected, not {len(value)}", path)
    return value


def read_name(value: Any, path: str) -> str:
    """`value` as a non-empty string."""
    if not isinstance(value, str):
        raise ProblemError(f"a name is expected, not {_kind(value)}", path)
    if not 0 < len(value) <= MAX_NAME_LENGTH:
        raise ProblemError(f"a name has 1 to {MAX_NAME_LENGTH} characters", path)
    return value


def read_number(value: Any, path: str, *, positive: bool = False) -> float:
    """`value` as a finite number that is not negative (and not zero where `positive`)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProblemError(f"a number is expected, not {_kind(value)}", path)
    try:
        number = float(value)
    except OverflowError as error:
        raise ProblemError("the number is too large", path) from error
    if not math.isfinite(number):
        raise ProblemError("a finite number is expected", path)
    if number < 0 or (positive and number == 0):
        raise ProblemError(f"{value} must {'be above zero' if positive else 'not be negative'}", path)
    if positive and number < 1e-300:
        raise ProblemError(f"{value} is too small", path)
    return number


def read_whole(value: Any, path: str, maximum: int = MAX_BYTES, minimum: int = 0) -> int:
    """`value` as a whole number of at least `minimum` and at most `maximum`."""
    number = read_number(value, path)
    if number != int(number):
        raise ProblemError(f"a whole number is expected, not {value}", path)
    if not minimum <= number <= maximum:
        raise ProblemError(f"{value} is not within {minimum} to {maximum}", path)
    return int(value)


def join(path: str, key: str) -> str:
    """The path of `key` in the object at `path`."""
    place = key if key.isidentifier() else f"[{json.dumps(key)}]"
    return f"{path}{'' if place.startswith('[') or not path else '.'}{place}"


def _kind(value: Any) -> str:
    names = {bool: "a truth value", str: "a string", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")
