"""Integers of 1, 2, 4 or 6 bits packed without gaps, in one of two orders (AUTO-SPLIT, appendix A, table 6).

Along height and width (`pack`): neighbours in memory share a byte, the first one in its lowest bits. Several bytes are
read as one wide integer and folded by shifts, so that numpy works on contiguous memory throughout.

Along channels (`pack_channels`): one position of several channels shares a byte. Whole planes are shifted into each
other.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.errors import FrameError

Bytes = NDArray[np.uint8]
_Wide = NDArray[Any]  # unsigned little-endian integers

WIDTHS = (1, 2, 4, 6, 8)
"""Bit widths that can be packed."""


def packed_bytes(elements: int, bits: int) -> int:
    """Bytes of `elements` integers of `bits` bits: ceil(elements · bits / 8)."""
    return (elements * bits + 7) // 8


def pack(values: Bytes, bits: int) -> Bytes:
    """Pack `values` (uint8, each below 2**bits) into ceil(n · bits / 8) bytes.

    Raises:
        FrameError: `bits` is none of 1, 2, 4, 6, 8.
    """
    _check_width(bits)
    flat = np.ascontiguousarray(values).reshape(-1)
    if bits == 8:
        return flat
    if bits == 1:
        return np.packbits(flat, bitorder="little")
    return _PACKERS[bits](flat)[: packed_bytes(flat.size, bits)]


def unpack(packed: Bytes, elements: int, bits: int) -> Bytes:
    """The inverse of `pack`: `elements` integers as uint8.

    Raises:
        FrameError: `bits` is none of 1, 2, 4, 6, 8, or `packed` has another length than `elements` need.
    """
    _check_width(bits)
    _check_length(packed, elements, bits)
    if bits == 8:
        return packed
    if bits == 1:
        return np.unpackbits(packed, count=elements, bitorder="little")
    return _UNPACKERS[bits](packed)[:elements]


def pack_channels(values: Bytes, bits: int) -> Bytes:
    """Pack `values` of shape (batch, channels, …) so that one position of several channels shares a byte.

    With k = 8 / bits (4 for 6 bits), the channels of a sample are cut into k equal runs; the i-th channels of all runs
    are packed together, the first run in the lowest bits: into one plane of bytes, or three for 6 bits. All samples'
    planes come first, then, packed by `pack`, what is left over: the last C mod k channels of all samples.

    Returns:
        ceil(n · bits / 8) bytes, as `pack`.

    Raises:
        FrameError: `bits` is none of 1, 2, 4, 6, 8.
    """
    _check_width(bits)
    even, of_runs, of_planes = _folding(values.shape, bits)
    runs = values[:, :even].reshape(of_runs)
    planes = np.zeros(of_planes, np.uint8)
    for run, plane, by in _overlaps(bits):
        planes[:, plane] |= _shifted(runs[:, run], by)
    if even == values.shape[1]:
        return planes.reshape(-1)
    return np.concatenate([planes.reshape(-1), pack(values[:, even:], bits)])


def unpack_channels(packed: Bytes, shape: tuple[int, ...], bits: int) -> Bytes:
    """The inverse of `pack_channels`: integers of `shape` as uint8.

    Raises:
        FrameError: `bits` is none of 1, 2, 4, 6, 8, or `packed` has another length than `shape` needs.
    """
    _check_width(bits)
    _check_length(packed, math.prod(shape), bits)
    even, of_runs, of_planes = _folding(shape, bits)
    size = math.prod(of_planes)
    planes = packed[:size].reshape(of_planes)
    runs = np.zeros(of_runs, np.uint8)
    for run, plane, by in _overlaps(bits):
        runs[:, run] |= _shifted(planes[:, plane], -by)
    runs &= 2**bits - 1
    together = runs.reshape((shape[0], even, *shape[2:]))
    if even == shape[1]:
        return together
    left = (shape[0], shape[1] - even, *shape[2:])
    return np.concatenate([together, unpack(packed[size:], math.prod(left), bits).reshape(left)], axis=1)


def _check_width(bits: int) -> None:
    if bits not in WIDTHS:
        raise FrameError(f"{bits} bits cannot be packed; use 1, 2, 4, 6 or 8", "bits")


def _check_length(packed: Bytes, elements: int, bits: int) -> None:
    if packed.size != packed_bytes(elements, bits):
        raise FrameError(
            f"{elements} elements of {bits} bits need {packed_bytes(elements, bits)} bytes, not {packed.size}"
        )


def _folding(shape: tuple[int, ...], bits: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """How many channels are packed together, and the shapes of their runs and of their planes."""
    planes = math.lcm(bits, 8) // 8
    runs = 8 * planes // bits
    even = shape[1] - shape[1] % runs
    width = even // runs * math.prod(shape[2:])
    return even, (shape[0], runs, width), (shape[0], planes, width)


def _overlaps(bits: int) -> list[tuple[int, int, int]]:
    """Each run, each plane in which it has bits, and how far to the left they lie there."""
    planes = math.lcm(bits, 8) // 8
    places = [(run, plane, run * bits - plane * 8) for run in range(8 * planes // bits) for plane in range(planes)]
    return [place for place in places if -bits < place[2] < 8]


def _shifted(values: Bytes, by: int) -> Bytes:
    moved: Bytes = values << np.uint8(by) if by >= 0 else values >> np.uint8(-by)
    return moved


def _padded(flat: Bytes, multiple: int) -> Bytes:
    short = -flat.size % multiple
    return np.concatenate([flat, np.zeros(short, np.uint8)]) if short else flat


def _pack_2(flat: Bytes) -> Bytes:
    wide: _Wide = _padded(flat, 4).view("<u4")
    folded = wide >> 6
    folded |= wide
    folded |= folded >> 12
    return folded.astype(np.uint8)


def _pack_4(flat: Bytes) -> Bytes:
    wide: _Wide = _padded(flat, 2).view("<u2")
    folded = wide >> 4
    folded |= wide
    return folded.astype(np.uint8)


def _pack_6(flat: Bytes) -> Bytes:
    wide: _Wide = _padded(flat, 4).view("<u4")
    folded = wide & 0x3F
    for by, mask in ((2, 0xFC0), (4, 0x3F000), (6, 0xFC0000)):
        part = wide >> by
        part &= mask
        folded |= part
    return _columns(folded.view(np.uint8).reshape(-1, 4), 3).reshape(-1)


def _unpack_2(packed: Bytes) -> Bytes:
    spread: _Wide = packed.astype("<u4")
    spread |= spread << 12
    spread |= spread << 6
    spread &= 0x03030303
    return spread.view(np.uint8)


def _unpack_4(packed: Bytes) -> Bytes:
    spread: _Wide = packed.astype("<u2")
    spread |= spread << 4
    spread &= 0x0F0F
    return spread.view(np.uint8)


def _unpack_6(packed: Bytes) -> Bytes:
    wide: _Wide = _columns(_padded(packed, 3).reshape(-1, 3), 4).view("<u4").reshape(-1)
    spread = wide & 0x3F
    for by, mask in ((2, 0x3F00), (4, 0x3F0000), (6, 0x3F000000)):
        part = wide << by
        part &= mask
        spread |= part
    return spread.view(np.uint8)


def _columns(table: Bytes, count: int) -> Bytes:
    """The first `count` columns, zeros where there are fewer; numpy copies long columns faster than short rows."""
    found = np.zeros((table.shape[0], count), np.uint8)
    for i in range(min(count, table.shape[1])):
        found[:, i] = table[:, i]
    return found


_PACKERS = {2: _pack_2, 4: _pack_4, 6: _pack_6}
_UNPACKERS = {2: _unpack_2, 4: _unpack_4, 6: _unpack_6}
