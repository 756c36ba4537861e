from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    ENCODING_RAW: _ClassVar[Encoding]
    ENCODING_ZSTD: _ClassVar[Encoding]
    ENCODING_LZ4: _ClassVar[Encoding]
    ENCODING_JPEG: _ClassVar[Encoding]

class Packing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PACKING_UNSPECIFIED: _ClassVar[Packing]
    PACKING_HW: _ClassVar[Packing]
    PACKING_C: _ClassVar[Packing]
ENCODING_UNSPECIFIED: Encoding
ENCODING_RAW: Encoding
ENCODING_ZSTD: Encoding
ENCODING_LZ4: Encoding
ENCODING_JPEG: Encoding
PACKING_UNSPECIFIED: Packing
PACKING_HW: Packing
PACKING_C: Packing

class UpstreamFrame(_message.Message):
    __slots__ = ("activations", "probe", "cancel")
    ACTIVATIONS_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    activations: ActivationSet
    probe: Probe
    cancel: Cancel
    def __init__(self, activations: _Optional[_Union[ActivationSet, _Mapping]] = ..., probe: _Optional[_Union[Probe, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ...) -> None: ...

class DownstreamFrame(_message.Message):
    __slots__ = ("receipt", "result", "failure", "farewell")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_FIELD_NUMBER: _ClassVar[int]
    receipt: Receipt
    result: Result
    failure: Failure
    farewell: Farewell
    def __init__(self, receipt: _Optional[_Union[Receipt, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., farewell: _Optional[_Union[Farewell, _Mapping]] = ...) -> None: ...

class ActivationSet(_message.Message):
    __slots__ = ("request_id", "plan", "next_segment", "remaining_us", "rows", "tensors")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_US_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    plan: str
    next_segment: int
    remaining_us: int
    rows: int
    tensors: _containers.RepeatedCompositeFieldContainer[Tensor]
    def __init__(self, request_id: _Optional[bytes] = ..., plan: _Optional[str] = ..., next_segment: _Optional[int] = ..., remaining_us: _Optional[int] = ..., rows: _Optional[int] = ..., tensors: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("name", "dtype", "shape", "bits", "scale", "zero_point", "encoding", "packing", "payload")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    ZERO_POINT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    PACKING_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    bits: int
    scale: float
    zero_point: int
    encoding: Encoding
    packing: Packing
    payload: bytes
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., bits: _Optional[int] = ..., scale: _Optional[float] = ..., zero_point: _Optional[int] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., packing: _Optional[_Union[Packing, str]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("request_id", "received_bytes")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    received_bytes: int
    def __init__(self, request_id: _Optional[bytes] = ..., received_bytes: _Optional[int] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("request_id", "padding")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    padding: bytes
    def __init__(self, request_id: _Optional[bytes] = ..., padding: _Optional[bytes] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    def __init__(self, request_id: _Optional[bytes] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("request_id", "tensors", "stages", "exit")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    EXIT_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    tensors: _containers.RepeatedCompositeFieldContainer[Tensor]
    stages: _containers.RepeatedCompositeFieldContainer[StageSeconds]
    exit: str
    def __init__(self, request_id: _Optional[bytes] = ..., tensors: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., stages: _Optional[_Iterable[_Union[StageSeconds, _Mapping]]] = ..., exit: _Optional[str] = ...) -> None: ...

class StageSeconds(_message.Message):
    __slots__ = ("tier", "queue_s", "compute_s", "codec_s")
    TIER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    CODEC_S_FIELD_NUMBER: _ClassVar[int]
    tier: str
    queue_s: float
    compute_s: float
    codec_s: float
    def __init__(self, tier: _Optional[str] = ..., queue_s: _Optional[float] = ..., compute_s: _Optional[float] = ..., codec_s: _Optional[float] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("request_id", "code", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    code: int
    reason: str
    def __init__(self, request_id: _Optional[bytes] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Farewell(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
