"""Bytes on the wire, exactly: the cost model plans with the same formula that the wire obeys.

Protocol buffers write a field as tag, varint length and content; tags of fields 1 to 15 take one byte.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiersplit_core.codec.bitpack import packed_bytes

MESSAGE_PREFIX_BYTES = 5
"""gRPC's own prefix of a message: one flag byte and four of length."""

_PLAN_DIGEST_BYTES = len("sha256:") + 64
_REQUEST_ID_BYTES = 16
_TAG, _FIXED32, _FIXED64 = 1, 4, 8


@dataclass(frozen=True, slots=True)
class WireTensor:
    """What decides a tensor's size on the wire (encoding raw).

    Attributes:
        name: the tensor's name.
        dtype: numpy name of the tensor before encoding.
        shape: with the batch dimension.
        bits: bits per element on the wire.
        quantised: scale and zero point travel with it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bits: int
    quantised: bool = False


def payload_bytes(elements: int, bits: int) -> int:
    """Bytes of a tensor's payload: ceil(elements · bits / 8) (AUTO-SPLIT, §III: transmission bits × elements)."""
    return packed_bytes(elements, bits)


def tensor_bytes(tensor: WireTensor) -> int:
    """Bytes of one serialised `Tensor` message."""
    elements = 1
    for size in tensor.shape:
        elements *= size
    dims = sum(_varint(size) for size in tensor.shape)
    total = _string(len(tensor.name.encode())) + _string(len(tensor.dtype))
    total += _field(dims) if tensor.shape else 0
    total += _TAG + _varint(tensor.bits)
    total += 2 * (_TAG + _FIXED32) if tensor.quantised else 0
    total += 2 * (_TAG + 1)  # encoding and packing are small enumerations
    return total + _string(payload_bytes(elements, tensor.bits))


def activation_set_bytes(
    tensors: Iterable[WireTensor],
    *,
    next_segment: int,
    rows: int,
    deadline: bool = True,
    plan_bytes: int = _PLAN_DIGEST_BYTES,
) -> int:
    """Bytes of one serialised `UpstreamFrame` that carries these tensors.

    Args:
        tensors: everything that crosses the link for one request.
        next_segment: position in the plan's order of segments.
        rows: batch size.
        deadline: the remaining time travels with it.
        plan_bytes: length of the plan's digest as text.
    """
    body = _string(_REQUEST_ID_BYTES) + _string(plan_bytes)
    body += _number(next_segment) + _number(rows)
    body += _TAG + _FIXED64 if deadline else 0
    body += sum(_field(tensor_bytes(tensor)) for tensor in tensors)
    return _field(body)


def header_bytes(tensors: Sequence[WireTensor], *, next_segment: int = 127, rows: int = 1) -> int:
    """What one transmission costs beyond its payloads, gRPC's prefix included."""
    payloads = 0
    for tensor in tensors:
        elements = 1
        for size in tensor.shape:
            elements *= size
        payloads += payload_bytes(elements, tensor.bits)
    whole = activation_set_bytes(tensors, next_segment=next_segment, rows=rows)
    return whole - payloads + MESSAGE_PREFIX_BYTES


def _varint(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)


def _field(length: int) -> int:
    return _TAG + _varint(length) + length


def _string(length: int) -> int:
    return _field(length) if length else 0


def _number(value: int) -> int:
    return _TAG + _varint(value) if value else 0
