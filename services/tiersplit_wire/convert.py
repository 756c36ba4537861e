"""Tensors and frames between Python and protocol buffers; everything that comes from a peer is checked here.

An encoding is raw, zstd, lz4 or jpeg, which lose nothing, or a quality from jpeg-1 to jpeg-95. What is no picture
(`tiersplit_wire.jpeg.layout_of`) travels raw where jpeg was asked for.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import lz4.frame
import numpy as np
import zstandard
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from tiersplit_core.codec.frame import (
    EncodedTensor,
    Packing,
    check_tensor,
    decode_tensor,
    encode_tensor,
    expected_payload_bytes,
)
from tiersplit_core.errors import FrameError
from tiersplit_wire import jpeg
from tiersplit_wire.v1 import activation_pb2 as pb

REQUEST_ID_BYTES = 16
MAX_TENSORS = 512
MAX_ROWS = 1 << 16
MAX_DECODED_BYTES = 1 << 30
"""Bytes of all tensors that come together, once they are decoded."""

_ENCODINGS = {"raw": pb.ENCODING_RAW, "zstd": pb.ENCODING_ZSTD, "lz4": pb.ENCODING_LZ4}
_JPEG = re.compile(r"^jpeg(?:-([1-9][0-9]?))?$")
_BEST_QUALITY = 95
# Tags of length-delimited fields: UpstreamFrame.activations (1), ActivationSet.tensors (6), Tensor.payload (9).
_TAG_ACTIVATIONS, _TAG_TENSORS, _TAG_PAYLOAD = b"\x0a", b"\x32", b"\x4a"
_PACKINGS = {Packing.HW: pb.PACKING_HW, Packing.C: pb.PACKING_C}
_PACKING_OF = {pb.PACKING_HW: Packing.HW, pb.PACKING_C: Packing.C}


def tensor_to_proto(tensor: EncodedTensor, encoding: str = "raw") -> pb.Tensor:
    """An encoded tensor as a message, its payload compressed by `encoding`.

    Raises:
        FrameError: `encoding` is none.
    """
    message = _header(tensor, encoding)
    message.payload = bytes(_compress(tensor, encoding))
    return message


def activations_frame(
    header: pb.ActivationSet, tensors: Sequence[EncodedTensor | pb.Tensor], encodings: Sequence[str]
) -> bytes:
    """The serialised `UpstreamFrame` of an activation set.

    Built from its pieces: a payload is copied once, where nested messages would copy it four times.

    Args:
        header: everything but the tensors.
        tensors: what travels: encoded here, or passed on as it came.
        encodings: one for each tensor that is encoded here.

    Raises:
        FrameError: an encoding is none.
    """
    pieces: list[bytes | memoryview] = [header.SerializeToString()]
    for tensor, encoding in zip(tensors, encodings, strict=True):
        pieces += _passed_on(tensor) if isinstance(tensor, pb.Tensor) else _pieces(tensor, encoding)
    size = sum(len(piece) for piece in pieces)
    return b"".join([_TAG_ACTIVATIONS, _varint(size), *pieces])


def _passed_on(tensor: pb.Tensor) -> list[bytes | memoryview]:
    data = tensor.SerializeToString()
    return [_TAG_TENSORS, _varint(len(data)), data]


def _pieces(tensor: EncodedTensor, encoding: str) -> list[bytes | memoryview]:
    described = _header(tensor, encoding).SerializeToString()
    payload = _compress(tensor, encoding)
    if not len(payload):
        return [_TAG_TENSORS, _varint(len(described)), described]
    length = _varint(len(payload))
    size = len(described) + len(_TAG_PAYLOAD) + len(length) + len(payload)
    return [_TAG_TENSORS, _varint(size), described, _TAG_PAYLOAD, length, payload]


def _header(tensor: EncodedTensor, encoding: str) -> pb.Tensor:
    message = pb.Tensor(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        bits=tensor.bits,
        encoding=_encoding(tensor, encoding),
        packing=_PACKINGS[tensor.packing],
    )
    if tensor.scale is not None and tensor.zero_point is not None:
        message.scale, message.zero_point = tensor.scale, tensor.zero_point
    return message


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def array_to_proto(name: str, array: NDArray[Any], bits: int = 32, encoding: str = "raw") -> pb.Tensor:
    """An array as a message with at most `bits` bits per element."""
    return tensor_to_proto(encode_tensor(name, array, bits), encoding)


def proto_to_array(message: pb.Tensor) -> NDArray[Any]:
    """The array that a message carries.

    Raises:
        FrameError: the message is not one that `tensor_to_proto` makes; nothing large was allocated for it.
    """
    return decode_tensor(_described(message, _decompress(message)))


def check_proto(message: pb.Tensor) -> None:
    """Check a tensor without decoding it, where its payload is not compressed.

    Raises:
        FrameError: names the field and what was expected.
    """
    if message.encoding == pb.ENCODING_RAW:
        check_tensor(_described(message, message.payload))
    else:
        expected_payload_bytes(_described(message, b""))


def parse_upstream(data: bytes) -> pb.UpstreamFrame:
    """The frame in `data`, with its ids and counts checked (its tensors are checked when they are read).

    Raises:
        FrameError: `data` is no frame.
    """
    try:
        frame = pb.UpstreamFrame.FromString(data)
    except DecodeError as error:
        raise FrameError(f"not an UpstreamFrame: {error}") from error
    kind = frame.WhichOneof("kind")
    if kind is None:
        raise FrameError("a frame carries activations, a probe or a cancel", "frame.kind")
    if len(getattr(frame, kind).request_id) != REQUEST_ID_BYTES:
        raise FrameError(f"a request id has {REQUEST_ID_BYTES} bytes", f"{kind}.request_id")
    return frame


def check_activations(message: pb.ActivationSet) -> None:
    """Refuse an activation set whose counts and sizes are out of bounds or that names a tensor twice.

    Raises:
        FrameError: names the field and what was expected.
    """
    if not 0 < message.rows <= MAX_ROWS:
        raise FrameError(f"1 to {MAX_ROWS} rows, not {message.rows}", "activations.rows")
    if len(message.tensors) > MAX_TENSORS:
        raise FrameError(f"at most {MAX_TENSORS} tensors, not {len(message.tensors)}", "activations.tensors")
    if len({tensor.name for tensor in message.tensors}) != len(message.tensors):
        raise FrameError("each tensor travels once", "activations.tensors")
    check_decoded(message.tensors)


def check_decoded(messages: Iterable[pb.Tensor]) -> None:
    """Refuse tensors that say to be too much together; nothing is decoded for it.

    Raises:
        FrameError: how many bytes they may have, or that one describes no tensor.
    """
    total = sum(_decoded_bytes(message) for message in messages)
    if total > MAX_DECODED_BYTES:
        raise FrameError(f"at most {MAX_DECODED_BYTES} bytes once decoded, not {total}", "activations.tensors")


def _decoded_bytes(message: pb.Tensor) -> int:
    expected_payload_bytes(_described(message, b""))  # else there may be no such dtype
    return math.prod(message.shape) * np.dtype(message.dtype).itemsize


def _described(message: pb.Tensor, payload: bytes) -> EncodedTensor:
    if message.packing not in _PACKING_OF:
        raise FrameError("packing is hw or c", f"{message.name}.packing")
    return EncodedTensor(
        name=message.name,
        dtype=message.dtype,
        shape=tuple(message.shape),
        bits=message.bits,
        payload=payload,
        scale=message.scale if message.HasField("scale") else None,
        zero_point=message.zero_point if message.HasField("zero_point") else None,
        packing=_PACKING_OF[message.packing],
    )


def _encoding(tensor: EncodedTensor, encoding: str) -> pb.Encoding:
    if encoding in _ENCODINGS:
        return _ENCODINGS[encoding]
    match = _JPEG.match(encoding)
    if match is None or int(match[1] or 1) > _BEST_QUALITY:
        reason = f"{encoding!r} is no encoding; use raw, zstd or lz4, or jpeg, jpeg-1 to jpeg-{_BEST_QUALITY}"
        raise FrameError(reason, f"{tensor.name}.encoding")
    return pb.ENCODING_RAW if jpeg.layout_of(tensor) is None else pb.ENCODING_JPEG


def _compress(tensor: EncodedTensor, encoding: str) -> bytes | memoryview:
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(tensor.payload)
    if encoding == "lz4":
        return bytes(lz4.frame.compress(tensor.payload))
    layout = None if encoding == "raw" else jpeg.layout_of(tensor)
    match = _JPEG.match(encoding)
    if layout is None or match is None:
        return tensor.payload
    return jpeg.compress(tensor, layout, int(match[1]) if match[1] else jpeg.LOSSLESS)


def _decompress(message: pb.Tensor) -> bytes:
    if message.encoding == pb.ENCODING_RAW:
        return message.payload
    limit = expected_payload_bytes(_described(message, b""))
    if message.encoding == pb.ENCODING_ZSTD:
        return _zstd(message.payload, limit, message.name)
    if message.encoding == pb.ENCODING_LZ4:
        return _lz4(message.payload, limit, message.name)
    if message.encoding == pb.ENCODING_JPEG:
        return jpeg.decompress(_described(message, message.payload))
    raise FrameError("encoding is raw, zstd, lz4 or jpeg", f"{message.name}.encoding")


def _zstd(payload: bytes, limit: int, name: str) -> bytes:
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(payload)
        data = reader.read(limit + 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise FrameError(f"not zstd: {error}", f"{name}.payload") from error
    return data


def _lz4(payload: bytes, limit: int, name: str) -> bytes:
    try:
        reader = lz4.frame.LZ4FrameDecompressor()
        data = bytes(reader.decompress(payload, max_length=limit + 1))
    except (RuntimeError, ValueError, EOFError, MemoryError) as error:
        raise FrameError(f"not lz4: {error}", f"{name}.payload") from error
    if len(data) == limit and not reader.eof:
        raise FrameError("the lz4 frame is cut off", f"{name}.payload")
    return data
