"""The nodes of an ONNX file, read from its protobuf bytes: the stage room has no `onnx` package.

Only what attribution needs is read (field numbers of onnx.proto3: ModelProto.graph 7, GraphProto.node 1; of NodeProto
input 1, output 2, name 3, op_type 4, metadata_props 9 with key 1 and value 2).
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tiersplit_core.errors import ModelError

LAYER_KEY = "tiersplit.layer"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the main graph; `layer` is empty where the model does not say to which layer it belongs."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layer: str = ""


def read_nodes(path: Path) -> tuple[Node, ...]:
    """The nodes of the main graph in the order of the file.

    Raises:
        ModelError: the file is no ONNX model.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        # Not closed by hand: an error's traceback still holds slices of it, and the map goes with the last of them.
        return tuple(_nodes(memoryview(data)))
    except (IndexError, ValueError, OSError) as error:
        raise ModelError(f"this is no ONNX file: {error}", str(path)) from error


def _nodes(model: memoryview) -> Iterator[Node]:
    for number, graph in _fields(model):
        if number == 7:
            for kind, node in _fields(graph):
                if kind == 1:
                    yield _node(node)


def _node(data: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    layer = ""
    for number, value in _fields(data):
        if number in texts:
            texts[number].append(bytes(value).decode())
        elif number == 9:
            entry = {key: bytes(text).decode() for key, text in _fields(value)}
            layer = entry.get(2, "") if entry.get(1) == LAYER_KEY else layer
    return Node("".join(texts[3]), "".join(texts[4]), tuple(texts[1]), tuple(texts[2]), layer)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of each length-delimited field; numbers are passed over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("a field is longer than the file")
            yield key >> 3, data[at : at + size]
            at += size
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field kind {kind} is unknown")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number does not end")
