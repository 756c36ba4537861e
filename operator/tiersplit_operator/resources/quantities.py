"""Quantities of core types, such as a container's CPU: `250m`, `2`, `1.5`, `512Mi`."""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from tiersplit_core.errors import ManifestError

_CORE = re.compile(r"^([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
_SCALE: Mapping[str | None, Fraction] = {
    None: Fraction(1),
    **{unit: Fraction(1, 1000**power) for unit, power in (("m", 1), ("u", 2), ("n", 3))},
    **{unit: Fraction(1000**power) for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", 1)},
}

MAX_LENGTH = 32


def parse_core_quantity(value: object, path: str) -> Fraction:
    """The number that a core quantity says.

    Raises:
        ManifestError: it is none.
    """
    text = str(value)
    match = _CORE.match(text) if len(text) <= MAX_LENGTH else None
    if match is None or isinstance(value, bool):
        raise ManifestError(f"{text[:MAX_LENGTH]!r} is no quantity; write a number such as 250m, 2 or 512Mi", path)
    return Fraction(match.group(1)) * _SCALE[match.group(2)]


def limit_of(resources: Mapping[str, Any], name: str, path: str) -> Fraction | None:
    """A limit of core resource requirements; None where there is none.

    Raises:
        ManifestError: it is no quantity.
    """
    limits = resources.get("limits") or {}
    if not isinstance(limits, Mapping) or limits.get(name) is None:
        return None
    return parse_core_quantity(limits[name], f"{path}.limits.{name}")


def in_mebibytes(size_bytes: float) -> str:
    """A size as a quantity, rounded up to whole MiB."""
    return f"{math.ceil(size_bytes / 2**20)}Mi"
