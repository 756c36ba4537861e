"""The messages of an ONNX file that cutting it needs, for protobuf's runtime: the stage room has no `onnx` package.

Field numbers are those of onnx.proto3 (ONNX 1.23). What is not named here stays in a message as it was read.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "tiersplit.onnx"
_TEXT, _NUMBER = "TYPE_STRING", "TYPE_INT64"
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "ModelProto": {"graph": (7, "GraphProto", False)},
    "GraphProto": {
        "node": (1, "NodeProto", True),
        "initializer": (5, "TensorProto", True),
        "input": (11, "ValueInfoProto", True),
        "output": (12, "ValueInfoProto", True),
        "value_info": (13, "ValueInfoProto", True),
    },
    "NodeProto": {
        "input": (1, _TEXT, True),
        "output": (2, _TEXT, True),
        "name": (3, _TEXT, False),
        "attribute": (5, "AttributeProto", True),
        "metadata_props": (9, "StringStringEntryProto", True),
    },
    "AttributeProto": {"g": (6, "GraphProto", False), "graphs": (11, "GraphProto", True)},
    "TensorProto": {"name": (8, _TEXT, False), "external_data": (13, "StringStringEntryProto", True)},
    "StringStringEntryProto": {"key": (1, _TEXT, False), "value": (2, _TEXT, False)},
    "ValueInfoProto": {"name": (1, _TEXT, False), "type": (2, "TypeProto", False)},
    "TypeProto": {"tensor_type": (1, "TensorTypeProto", False)},
    "TensorTypeProto": {"elem_type": (1, _NUMBER, False), "shape": (2, "TensorShapeProto", False)},
    "TensorShapeProto": {"dim": (1, "DimensionProto", True)},
    "DimensionProto": {"dim_value": (1, _NUMBER, False), "dim_param": (2, _TEXT, False)},
}
"""Per message and field: its number, what it holds and whether it is repeated."""

ELEMENT_TYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
    "uint32": 12,
    "uint64": 13,
}
"""ONNX's number of each numpy type."""


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="tiersplit/onnx.proto", package=_PACKAGE, syntax="proto3")
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            label = "LABEL_REPEATED" if repeated else "LABEL_OPTIONAL"
            held = {"type": kind} if kind in {_TEXT, _NUMBER} else {"type": "TYPE_MESSAGE", "type_name": _named(kind)}
            made.field.add(name=name, number=number, label=label, **held)
    return file


def _named(message: str) -> str:
    return f".{_PACKAGE}.{message}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(_named(name)[1:])) for name in _MESSAGES}


_CLASS = _classes()
Model: Any = _CLASS["ModelProto"]
"""A whole file."""
Value: Any = _CLASS["ValueInfoProto"]
"""Name, type and shape of a tensor."""
