"""The Open Inference Protocol's datatypes: raw and typed contents against numpy arrays."""

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.errors import RequestError
from tiersplit_wire.v1 import inference_pb2 as pb

_NUMPY = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
_DATATYPE = {name: datatype for datatype, name in _NUMPY.items()}
_FIELD = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
DATATYPES = (*_NUMPY, "BYTES")
"""Every datatype that a model of this project can have."""
_LARGEST_VARINT = {
    "UINT8": 2,
    "UINT16": 3,
    "UINT32": 5,
    "UINT64": 10,
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64"), 10),
}

_LENGTH = struct.Struct("<I")


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The protocol's name of a numpy dtype.

    Raises:
        RequestError: the protocol has none for it.
    """
    if dtype.kind in "OSU":
        return "BYTES"
    if dtype.name not in _DATATYPE:
        raise RequestError(f"{dtype} has no datatype; use one of {', '.join(_DATATYPE)}")
    return _DATATYPE[dtype.name]


def zeros(datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of zeros, of empty strings for BYTES.

    Raises:
        RequestError: the datatype is unknown.
    """
    if datatype == "BYTES":
        return np.full(shape, b"", object)
    if datatype not in _NUMPY:
        raise RequestError(f"datatype {datatype!r} is not supported; use one of {', '.join(DATATYPES)}")
    return np.zeros(shape, _NUMPY[datatype])


def largest_element_bytes(datatype: str) -> int | None:
    """Bytes that one element takes in a request at most, raw or typed; None where nothing bounds them."""
    if datatype not in _NUMPY:
        return None
    return _LARGEST_VARINT.get(datatype, np.dtype(_NUMPY[datatype]).itemsize)


def array_to_raw(array: NDArray[Any]) -> bytes:
    """Row-major little-endian bytes; elements of BYTES each with a 4-byte length before them."""
    if array.dtype.kind not in "OSU":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    parts = []
    for element in array.reshape(-1).tolist():
        data = element if isinstance(element, bytes) else str(element).encode()
        parts += [_LENGTH.pack(len(data)), data]
    return b"".join(parts)


def array_from_raw(raw: bytes, datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The inverse of `array_to_raw`; a read-only view where possible.

    Raises:
        RequestError: the datatype is unknown, or the byte count is not what the shape needs.
    """
    if datatype == "BYTES":
        return _strings(raw, shape)
    if datatype not in _NUMPY:
        raise RequestError(f"datatype {datatype!r} is not supported; use one of {', '.join(DATATYPES)}")
    dtype = np.dtype(_NUMPY[datatype])
    expected = math.prod(shape) * dtype.itemsize
    if len(raw) != expected:
        raise RequestError(f"shape {list(shape)} of {datatype} needs {expected} bytes, {len(raw)} came")
    return np.frombuffer(raw, dtype).reshape(shape)


def array_from_typed(contents: pb.InferTensorContents, datatype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array in typed contents.

    Raises:
        RequestError: the wrong field is filled, a number is out of range, or the count is not what the shape needs.
    """
    name = _FIELD.get(datatype)
    if name is None:
        raise RequestError(f"{datatype} has no typed contents; send it in raw_input_contents")
    foreign = [field.name for field, _ in contents.ListFields() if field.name != name]
    if foreign:
        raise RequestError(f"{datatype} belongs into {name}, not {foreign[0]}")
    values = list(getattr(contents, name))
    if len(values) != math.prod(shape):
        raise RequestError(f"shape {list(shape)} needs {math.prod(shape)} elements, {name} has {len(values)}")
    if datatype == "BYTES":
        return np.array(values, object).reshape(shape)
    try:
        return np.array(values, _NUMPY[datatype]).reshape(shape)
    except OverflowError as error:
        raise RequestError(f"{name} holds a number that is no {datatype}: {error}") from error


def _strings(raw: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
    values: list[bytes] = []
    at = 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise RequestError("BYTES ends within a length; each element has 4 bytes of length before it")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size + length
        if at > len(raw):
            raise RequestError(f"an element of BYTES claims {length} bytes, more than there are")
        values.append(raw[at - length : at])
    if len(values) != math.prod(shape):
        raise RequestError(f"shape {list(shape)} of BYTES needs {math.prod(shape)} elements, {len(values)} came")
    return np.array(values, object).reshape(shape)
