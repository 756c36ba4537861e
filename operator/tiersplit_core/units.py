"""Quantities as people write them: `10M` bits per second, `256Mi` bytes, `1.5%`."""

import re
from decimal import Decimal
from fractions import Fraction

from tiersplit_core.errors import InputError

_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(k|M|G|T|Ki|Mi|Gi|Ti)?$")
_PERCENT = re.compile(r"^([0-9]+(?:\.[0-9]+)?)%$")
_MAX_QUANTITY_LENGTH = 16
_MAX_PERCENT_LENGTH = 8
_SCALE = {
    None: 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def parse_quantity(text: str | int, path: str = "") -> int:
    """Whole units of a Kubernetes quantity: `parse_quantity("10M") == 10_000_000`.

    Raises:
        InputError: `text` is no quantity of at most 16 characters.
    """
    match = _QUANTITY.match(str(text))
    if match is None or len(str(text)) > _MAX_QUANTITY_LENGTH:
        raise InputError(f"{text!r} is no quantity; write a number with k, M, G, T, Ki, Mi, Gi or Ti, as in 10M", path)
    return int(Fraction(Decimal(match.group(1))) * _SCALE[match.group(2)])


def parse_percent(text: str, path: str = "") -> float:
    """A percentage as a fraction: `parse_percent("1.5%") == 0.015`.

    Raises:
        InputError: `text` is no percentage of at most 8 characters.
    """
    match = _PERCENT.match(text)
    if match is None or len(text) > _MAX_PERCENT_LENGTH:
        raise InputError(f"{text!r} is no percentage; write a number and a percent sign, as in 1.5%", path)
    return float(Decimal(match.group(1)) / 100)


def format_bandwidth(bandwidth_bps: float) -> str:
    """Bits per second for people: `format_bandwidth(5e6) == "5 Mbps"`."""
    for scale, unit in ((1e12, "Tbps"), (1e9, "Gbps"), (1e6, "Mbps"), (1e3, "kbps")):
        if bandwidth_bps >= scale:
            return f"{bandwidth_bps / scale:.3g} {unit}"
    return f"{bandwidth_bps:.3g} bps"


def format_seconds(seconds: float) -> str:
    """Seconds for people: `format_seconds(0.0123) == "12.3 ms"`."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def format_bytes(size_bytes: float) -> str:
    """Bytes for people: `format_bytes(1536) == "1.5 KiB"`."""
    for scale, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.4g} {unit}"
    return f"{size_bytes:.0f} B"
