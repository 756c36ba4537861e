"""Quantised weights as bytes without gaps: how weights of 2, 4 and 6 bits lie in a bundle and travel.

A header says what they are, so that whoever loads them needs nothing else: 16 bytes of magic, the bit width, the number
of dimensions, and each size as 8 bytes, little-endian. The integers follow, raised by 2^(bits − 1) to be at least 0, as
`codec.bitpack` packs them.
"""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.codec.bitpack import pack, packed_bytes, unpack
from tiersplit_core.errors import StatisticsError

MAGIC = b"tiersplit.packed"
PACKED_BITS = (2, 4, 6)

PACKED_NAME = "packed:"
"""Constants of a segment that are unpacked at loading are called so, followed by the bare digest of their blob."""

_HEAD = struct.Struct("<16sBB")
_MAX_DIMENSIONS = 8


def pack_weights(values: NDArray[np.int8], bits: int) -> bytes:
    """The bytes of signed integers of `bits` bits.

    Raises:
        StatisticsError: `bits` is none of 2, 4 and 6.
    """
    _check_bits(bits)
    raised = (values.astype(np.int16) + (1 << (bits - 1))).astype(np.uint8)
    sizes = struct.pack(f"<{values.ndim}Q", *values.shape)
    return _HEAD.pack(MAGIC, bits, values.ndim) + sizes + pack(raised, bits).tobytes()


def is_packed(start: bytes) -> bool:
    """Whether a file that starts so holds packed weights."""
    return start.startswith(MAGIC)


def unpack_weights(data: bytes) -> NDArray[np.int8]:
    """The integers, in their shape.

    Raises:
        StatisticsError: these are no packed weights, or their length is not what their header says.
    """
    if len(data) < _HEAD.size or not is_packed(data):
        raise StatisticsError("these are no packed weights")
    _, bits, dimensions = _HEAD.unpack_from(data)
    _check_bits(bits)
    start = _HEAD.size + 8 * dimensions
    if dimensions > _MAX_DIMENSIONS or len(data) < start:
        raise StatisticsError(f"packed weights of {dimensions} dimensions are cut short")
    shape = struct.unpack_from(f"<{dimensions}Q", data, _HEAD.size)
    elements = math.prod(shape)
    if len(data) - start != packed_bytes(elements, bits):
        raise StatisticsError(f"packed weights of shape {shape} do not have {len(data) - start} bytes")
    whole = unpack(np.frombuffer(data, np.uint8, offset=start), elements, bits)
    return (whole.astype(np.int8) - np.int8(1 << (bits - 1))).reshape(shape)


def _check_bits(bits: int) -> None:
    if bits not in PACKED_BITS:
        raise StatisticsError(f"weights of {bits} bits are not packed; use 2, 4 or 6", "bits")
