"""Integers of 1, 2, 4 or 6 bits packed without gaps, the first element in the lowest bits of the first byte.

Several bytes are read as one wide integer and folded by shifts, so that numpy works on contiguous memory throughout.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.errors import FrameError

Bytes = NDArray[np.uint8]
_Wide = NDArray[Any]  # unsigned little-endian integers


def packed_bytes(elements: int, bits: int) -> int:
    """Bytes of `elements` integers of `bits` bits: ceil(elements · bits / 8)."""
    return (elements * bits + 7) // 8


def pack(values: Bytes, bits: int) -> Bytes:
    """Pack `values` (uint8, each below 2**bits) into ceil(n · bits / 8) bytes.

    Raises:
        FrameError: `bits` is none of 1, 2, 4, 6, 8.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    if bits == 8:
        return flat
    if bits == 1:
        return np.packbits(flat, bitorder="little")
    packer = _PACKERS.get(bits)
    if packer is None:
        raise FrameError(f"{bits} bits cannot be packed; use 1, 2, 4, 6 or 8", "bits")
    return packer(flat)[: packed_bytes(flat.size, bits)]


def unpack(packed: Bytes, elements: int, bits: int) -> Bytes:
    """The inverse of `pack`: `elements` integers as uint8.

    Raises:
        FrameError: `bits` is none of 1, 2, 4, 6, 8, or `packed` has another length than `elements` need.
    """
    if packed.size != packed_bytes(elements, bits):
        raise FrameError(
            f"{elements} elements of {bits} bits need {packed_bytes(elements, bits)} bytes, not {packed.size}"
        )
    if bits == 8:
        return packed
    if bits == 1:
        return np.unpackbits(packed, count=elements, bitorder="little")
    unpacker = _UNPACKERS.get(bits)
    if unpacker is None:
        raise FrameError(f"{bits} bits cannot be unpacked; use 1, 2, 4, 6 or 8", "bits")
    return unpacker(packed)[:elements]


def _padded(flat: Bytes, multiple: int) -> Bytes:
    short = -flat.size % multiple
    return np.concatenate([flat, np.zeros(short, np.uint8)]) if short else flat


def _pack_2(flat: Bytes) -> Bytes:
    wide: _Wide = _padded(flat, 4).view("<u4")
    folded: Bytes = (wide | wide >> 6 | wide >> 12 | wide >> 18).astype(np.uint8)
    return folded


def _pack_4(flat: Bytes) -> Bytes:
    wide: _Wide = _padded(flat, 2).view("<u2")
    folded: Bytes = (wide | wide >> 4).astype(np.uint8)
    return folded


def _pack_6(flat: Bytes) -> Bytes:
    wide: _Wide = _padded(flat, 4).view("<u4")
    folded: _Wide = (wide & 0x3F) | (wide >> 2 & 0xFC0) | (wide >> 4 & 0x3F000) | (wide >> 6 & 0xFC0000)
    return np.ascontiguousarray(folded.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3]).reshape(-1)


def _unpack_2(packed: Bytes) -> Bytes:
    wide: _Wide = packed.astype("<u4")
    spread: _Wide = (wide | wide << 6 | wide << 12 | wide << 18) & 0x03030303
    return spread.view(np.uint8)


def _unpack_4(packed: Bytes) -> Bytes:
    wide: _Wide = packed.astype("<u2")
    spread: _Wide = (wide | wide << 4) & 0x0F0F
    return spread.view(np.uint8)


def _unpack_6(packed: Bytes) -> Bytes:
    triples = np.zeros((-(-packed.size // 3), 4), np.uint8)
    triples[:, :3] = _padded(packed, 3).reshape(-1, 3)
    wide: _Wide = triples.view("<u4").reshape(-1)
    spread = (wide & 0x3F) | (wide << 2 & 0x3F00) | (wide << 4 & 0x3F0000) | (wide << 6 & 0x3F000000)
    unpacked: Bytes = spread.astype("<u4").view(np.uint8)
    return unpacked


_PACKERS = {2: _pack_2, 4: _pack_4, 6: _pack_6}
_UNPACKERS = {2: _unpack_2, 4: _unpack_4, 6: _unpack_6}
