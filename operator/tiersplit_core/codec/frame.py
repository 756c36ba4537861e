"""One tensor as it travels: encoded, described, and checked when it arrives from somebody else."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.codec.bitpack import pack, pack_channels, unpack, unpack_channels
from tiersplit_core.codec.quantize import QUANTISED_BITS, Quantised, dequantize, quantize
from tiersplit_core.codec.size import payload_bytes
from tiersplit_core.errors import FrameError

MAX_RANK = 8
MAX_NAME_BYTES = 1024
MAX_TENSOR_BYTES = 1 << 30
"""Bytes of a decoded tensor that is accepted from a peer; what travels is bounded lower, by the message size."""

_FLOATS = ("float16", "float32", "float64")
_DTYPES = frozenset((*_FLOATS, *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)), "bool"))


class Packing(StrEnum):
    """What shares a byte (AUTO-SPLIT, table 6): neighbours along a row (`HW`), or channels at one position (`C`)."""

    HW = "hw"
    C = "c"


@dataclass(frozen=True, slots=True)
class EncodedTensor:
    """A tensor ready for the wire, or as it came from it.

    Attributes:
        name: tensor name in the graph.
        dtype: numpy name of the tensor before encoding.
        shape: its shape, batch first.
        bits: bits per element in `payload` (uncompressed).
        payload: the elements; ceil(elements · bits / 8) bytes.
        scale: real = scale · (integer − zero_point); None when not quantised.
        zero_point: None when not quantised.
        packing: which elements share a byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bits: int
    payload: bytes | memoryview
    scale: float | None = None
    zero_point: int | None = None
    packing: Packing = Packing.HW


def encode_tensor(name: str, array: NDArray[Any], bits: int = 32, packing: Packing = Packing.HW) -> EncodedTensor:
    """Encode `array` with at most `bits` bits per element.

    Only floating-point tensors are narrowed; integers, booleans and tensors with infinities or NaN travel as they are.

    Raises:
        FrameError: the dtype cannot travel, or `bits` is no supported width.
    """
    _check_dtype(array.dtype.name)
    own_bits = array.dtype.itemsize * 8
    if array.dtype.name not in _FLOATS or bits >= own_bits:
        return _plain(name, array, array.dtype.name)
    if bits == 32:
        return _plain(name, array.astype(np.float32), array.dtype.name)
    if bits == 16:
        with np.errstate(over="ignore"):
            narrow = array.astype(np.float16)
        return _plain(name, narrow, array.dtype.name)
    quantised = quantize(array, bits)
    if quantised is None:
        return _plain(name, array, array.dtype.name)
    payload = payload_of(quantised.values, bits, packing)
    return EncodedTensor(
        name, array.dtype.name, array.shape, bits, payload.data, quantised.scale, quantised.zero_point, packing
    )


def decode_tensor(tensor: EncodedTensor) -> NDArray[Any]:
    """The array that `tensor` describes; a read-only view of the payload where nothing had to be computed.

    Raises:
        FrameError: the description is not one that `encode_tensor` makes, or does not fit the payload.
    """
    check_tensor(tensor)
    dtype = np.dtype(tensor.dtype)
    if tensor.scale is None or tensor.zero_point is None:
        stored = dtype if tensor.bits == dtype.itemsize * 8 else np.dtype(f"float{tensor.bits}")
        flat = np.frombuffer(tensor.payload, dtype=stored)
        return flat.reshape(tensor.shape).astype(dtype, copy=False)
    return dequantize(Quantised(integers_of(tensor), tensor.scale, tensor.zero_point), dtype)


def integers_of(tensor: EncodedTensor) -> NDArray[np.uint8]:
    """The integers of a quantised tensor, in its shape.

    Raises:
        FrameError: the payload does not fit the description.
    """
    packed = np.frombuffer(tensor.payload, np.uint8)
    if _by_channel(tensor.shape, tensor.packing):
        return unpack_channels(packed, tensor.shape, tensor.bits)
    return unpack(packed, math.prod(tensor.shape), tensor.bits).reshape(tensor.shape)


def payload_of(values: NDArray[np.uint8], bits: int, packing: Packing) -> NDArray[np.uint8]:
    """The payload that carries `values` (uint8, each below 2**bits): the inverse of `integers_of`.

    Raises:
        FrameError: `bits` is no width that can be packed.
    """
    return pack_channels(values, bits) if _by_channel(values.shape, packing) else pack(values, bits)


def expected_payload_bytes(tensor: EncodedTensor) -> int:
    """Bytes that the (uncompressed) payload must have, checked to be within bounds before anything is allocated.

    Raises:
        FrameError: name, dtype, shape or bits are not acceptable.
    """
    if not tensor.name or len(tensor.name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise FrameError(f"a name has 1 to {MAX_NAME_BYTES} bytes", "tensor.name")
    _check_dtype(tensor.dtype)
    if len(tensor.shape) > MAX_RANK or any(size < 0 for size in tensor.shape):
        raise FrameError(f"{tensor.shape} is no shape of at most {MAX_RANK} dimensions ≥ 0", f"{tensor.name}.shape")
    itemsize = np.dtype(tensor.dtype).itemsize
    if math.prod(tensor.shape) * itemsize > MAX_TENSOR_BYTES:
        raise FrameError(f"{tensor.shape} is larger than {MAX_TENSOR_BYTES} bytes", f"{tensor.name}.shape")
    if tensor.bits not in _legal_bits(tensor.dtype, tensor.scale is not None):
        raise FrameError(f"{tensor.dtype} does not travel with {tensor.bits} bits", f"{tensor.name}.bits")
    return payload_bytes(math.prod(tensor.shape), tensor.bits)


def check_tensor(tensor: EncodedTensor) -> None:
    """Refuse a tensor that no honest sender makes.

    Raises:
        FrameError: names the field and what was expected.
    """
    expected = expected_payload_bytes(tensor)
    if len(tensor.payload) != expected:
        raise FrameError(f"{expected} bytes expected, {len(tensor.payload)} came", f"{tensor.name}.payload")
    if (tensor.scale is None) != (tensor.zero_point is None):
        raise FrameError("scale and zero point come together or not at all", f"{tensor.name}.scale")
    if tensor.scale is not None and not (math.isfinite(tensor.scale) and tensor.scale > 0):
        raise FrameError(f"a scale is finite and greater than 0, not {tensor.scale}", f"{tensor.name}.scale")
    if tensor.zero_point is not None and not 0 <= tensor.zero_point < 2**tensor.bits:
        raise FrameError(
            f"a zero point lies within {tensor.bits} bits, not {tensor.zero_point}", f"{tensor.name}.zero_point"
        )
    if tensor.packing is Packing.C and len(tensor.shape) < 2:
        raise FrameError("channels are packed only where there is a channel dimension", f"{tensor.name}.packing")


def _legal_bits(dtype: str, quantised: bool) -> tuple[int, ...]:
    own = np.dtype(dtype).itemsize * 8
    if dtype not in _FLOATS:
        return () if quantised else (own,)
    return QUANTISED_BITS if quantised else tuple(bits for bits in (16, 32, 64) if bits <= own)


def _check_dtype(dtype: str) -> None:
    if dtype not in _DTYPES:
        raise FrameError(f"{dtype!r} does not travel; expected one of {', '.join(sorted(_DTYPES))}", "tensor.dtype")


def _plain(name: str, array: NDArray[Any], dtype: str) -> EncodedTensor:
    contiguous = np.ascontiguousarray(array)
    payload = contiguous.reshape(-1).view(np.uint8).data if contiguous.size else b""
    return EncodedTensor(name, dtype, array.shape, array.dtype.itemsize * 8, payload)


def _by_channel(shape: tuple[int, ...], packing: Packing) -> bool:
    return packing is Packing.C and len(shape) > 1
