from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Route(_message.Message):
    __slots__ = ("deployment", "epoch", "model", "segments", "plans", "selected", "tiers", "golden_blobs", "fallback", "probe_budget_bps", "bundle", "profiles", "guidance", "receipts")
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    PLANS_FIELD_NUMBER: _ClassVar[int]
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_BLOBS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    PROBE_BUDGET_BPS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    epoch: int
    model: Model
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    plans: _containers.RepeatedCompositeFieldContainer[RoutePlan]
    selected: str
    tiers: _containers.RepeatedCompositeFieldContainer[TierEndpoints]
    golden_blobs: _containers.RepeatedScalarFieldContainer[str]
    fallback: str
    probe_budget_bps: int
    bundle: str
    profiles: _containers.RepeatedCompositeFieldContainer[SegmentProfile]
    guidance: Guidance
    receipts: _containers.RepeatedCompositeFieldContainer[ReceiptCost]
    def __init__(self, deployment: _Optional[str] = ..., epoch: _Optional[int] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., plans: _Optional[_Iterable[_Union[RoutePlan, _Mapping]]] = ..., selected: _Optional[str] = ..., tiers: _Optional[_Iterable[_Union[TierEndpoints, _Mapping]]] = ..., golden_blobs: _Optional[_Iterable[str]] = ..., fallback: _Optional[str] = ..., probe_budget_bps: _Optional[int] = ..., bundle: _Optional[str] = ..., profiles: _Optional[_Iterable[_Union[SegmentProfile, _Mapping]]] = ..., guidance: _Optional[_Union[Guidance, _Mapping]] = ..., receipts: _Optional[_Iterable[_Union[ReceiptCost, _Mapping]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "version", "inputs", "outputs", "max_batch")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    inputs: _containers.RepeatedCompositeFieldContainer[ModelTensor]
    outputs: _containers.RepeatedCompositeFieldContainer[ModelTensor]
    max_batch: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[ModelTensor, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[ModelTensor, _Mapping]]] = ..., max_batch: _Optional[int] = ...) -> None: ...

class ModelTensor(_message.Message):
    __slots__ = ("name", "tensor", "datatype", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    tensor: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., tensor: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("id", "blob", "weights", "inputs", "outputs")
    ID_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    blob: str
    weights: _containers.RepeatedScalarFieldContainer[str]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., blob: _Optional[str] = ..., weights: _Optional[_Iterable[str]] = ..., inputs: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ...) -> None: ...

class RoutePlan(_message.Message):
    __slots__ = ("digest", "segments", "crossings", "costs", "model", "golden_blobs", "bundle", "bits")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    CROSSINGS_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_BLOBS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    segments: _containers.RepeatedCompositeFieldContainer[PlanSegment]
    crossings: _containers.RepeatedCompositeFieldContainer[Crossing]
    costs: _containers.RepeatedCompositeFieldContainer[PlanCost]
    model: Model
    golden_blobs: _containers.RepeatedScalarFieldContainer[str]
    bundle: str
    bits: int
    def __init__(self, digest: _Optional[str] = ..., segments: _Optional[_Iterable[_Union[PlanSegment, _Mapping]]] = ..., crossings: _Optional[_Iterable[_Union[Crossing, _Mapping]]] = ..., costs: _Optional[_Iterable[_Union[PlanCost, _Mapping]]] = ..., model: _Optional[_Union[Model, _Mapping]] = ..., golden_blobs: _Optional[_Iterable[str]] = ..., bundle: _Optional[str] = ..., bits: _Optional[int] = ...) -> None: ...

class PlanCost(_message.Message):
    __slots__ = ("batch", "compute_s", "link_bytes", "link_trips")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    LINK_BYTES_FIELD_NUMBER: _ClassVar[int]
    LINK_TRIPS_FIELD_NUMBER: _ClassVar[int]
    batch: int
    compute_s: _containers.RepeatedScalarFieldContainer[float]
    link_bytes: _containers.RepeatedScalarFieldContainer[int]
    link_trips: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, batch: _Optional[int] = ..., compute_s: _Optional[_Iterable[float]] = ..., link_bytes: _Optional[_Iterable[int]] = ..., link_trips: _Optional[_Iterable[int]] = ...) -> None: ...

class SegmentProfile(_message.Message):
    __slots__ = ("segment", "tier", "batch", "seconds")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    segment: str
    tier: str
    batch: int
    seconds: float
    def __init__(self, segment: _Optional[str] = ..., tier: _Optional[str] = ..., batch: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class ReceiptCost(_message.Message):
    __slots__ = ("source", "target", "fixed_s", "s_per_byte")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FIXED_S_FIELD_NUMBER: _ClassVar[int]
    S_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    fixed_s: float
    s_per_byte: float
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., fixed_s: _Optional[float] = ..., s_per_byte: _Optional[float] = ...) -> None: ...

class Guidance(_message.Message):
    __slots__ = ("mode", "min_gain", "cooldown_s", "throughput", "allowed", "links", "loads")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[Guidance.Mode]
        MODE_FOLLOW_SELECTED: _ClassVar[Guidance.Mode]
        MODE_FOLLOW_LINK: _ClassVar[Guidance.Mode]
    MODE_UNSPECIFIED: Guidance.Mode
    MODE_FOLLOW_SELECTED: Guidance.Mode
    MODE_FOLLOW_LINK: Guidance.Mode
    MODE_FIELD_NUMBER: _ClassVar[int]
    MIN_GAIN_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_S_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    LOADS_FIELD_NUMBER: _ClassVar[int]
    mode: Guidance.Mode
    min_gain: float
    cooldown_s: float
    throughput: bool
    allowed: _containers.RepeatedScalarFieldContainer[str]
    links: _containers.RepeatedCompositeFieldContainer[LinkView]
    loads: _containers.RepeatedCompositeFieldContainer[TierLoad]
    def __init__(self, mode: _Optional[_Union[Guidance.Mode, str]] = ..., min_gain: _Optional[float] = ..., cooldown_s: _Optional[float] = ..., throughput: _Optional[bool] = ..., allowed: _Optional[_Iterable[str]] = ..., links: _Optional[_Iterable[_Union[LinkView, _Mapping]]] = ..., loads: _Optional[_Iterable[_Union[TierLoad, _Mapping]]] = ...) -> None: ...

class LinkView(_message.Message):
    __slots__ = ("source", "target", "bandwidth_bps", "latency_s", "down")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_BPS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    DOWN_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    bandwidth_bps: float
    latency_s: float
    down: bool
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., bandwidth_bps: _Optional[float] = ..., latency_s: _Optional[float] = ..., down: _Optional[bool] = ...) -> None: ...

class TierLoad(_message.Message):
    __slots__ = ("tier", "load")
    TIER_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    tier: str
    load: float
    def __init__(self, tier: _Optional[str] = ..., load: _Optional[float] = ...) -> None: ...

class PlanSegment(_message.Message):
    __slots__ = ("segment", "tier")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    segment: str
    tier: str
    def __init__(self, segment: _Optional[str] = ..., tier: _Optional[str] = ...) -> None: ...

class Crossing(_message.Message):
    __slots__ = ("tensor", "bits", "encoding")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    tensor: str
    bits: int
    encoding: str
    def __init__(self, tensor: _Optional[str] = ..., bits: _Optional[int] = ..., encoding: _Optional[str] = ...) -> None: ...

class TierEndpoints(_message.Message):
    __slots__ = ("tier", "addresses")
    TIER_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    tier: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tier: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class StageReport(_message.Message):
    __slots__ = ("deployment", "tier", "instance", "epoch", "address", "client_address", "resident", "selectable", "links", "segments", "resident_bytes", "in_flight", "queued", "served", "problem", "active", "rerun", "namespace", "node", "estimates", "load", "decision", "progress")
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_FIELD_NUMBER: _ClassVar[int]
    SELECTABLE_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    RERUN_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    tier: str
    instance: str
    epoch: int
    address: str
    client_address: str
    resident: _containers.RepeatedScalarFieldContainer[str]
    selectable: _containers.RepeatedScalarFieldContainer[str]
    links: _containers.RepeatedCompositeFieldContainer[LinkObservation]
    segments: _containers.RepeatedCompositeFieldContainer[SegmentObservation]
    resident_bytes: int
    in_flight: int
    queued: int
    served: _containers.RepeatedCompositeFieldContainer[PlanCount]
    problem: str
    active: str
    rerun: int
    namespace: str
    node: str
    estimates: _containers.RepeatedCompositeFieldContainer[LinkView]
    load: float
    decision: str
    progress: str
    def __init__(self, deployment: _Optional[str] = ..., tier: _Optional[str] = ..., instance: _Optional[str] = ..., epoch: _Optional[int] = ..., address: _Optional[str] = ..., client_address: _Optional[str] = ..., resident: _Optional[_Iterable[str]] = ..., selectable: _Optional[_Iterable[str]] = ..., links: _Optional[_Iterable[_Union[LinkObservation, _Mapping]]] = ..., segments: _Optional[_Iterable[_Union[SegmentObservation, _Mapping]]] = ..., resident_bytes: _Optional[int] = ..., in_flight: _Optional[int] = ..., queued: _Optional[int] = ..., served: _Optional[_Iterable[_Union[PlanCount, _Mapping]]] = ..., problem: _Optional[str] = ..., active: _Optional[str] = ..., rerun: _Optional[int] = ..., namespace: _Optional[str] = ..., node: _Optional[str] = ..., estimates: _Optional[_Iterable[_Union[LinkView, _Mapping]]] = ..., load: _Optional[float] = ..., decision: _Optional[str] = ..., progress: _Optional[str] = ...) -> None: ...

class LinkObservation(_message.Message):
    __slots__ = ("source", "target", "bytes", "seconds", "idle_before", "lost")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    IDLE_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    bytes: int
    seconds: float
    idle_before: bool
    lost: bool
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., bytes: _Optional[int] = ..., seconds: _Optional[float] = ..., idle_before: _Optional[bool] = ..., lost: _Optional[bool] = ...) -> None: ...

class SegmentObservation(_message.Message):
    __slots__ = ("segment", "batch", "runs", "seconds")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    segment: str
    batch: int
    runs: int
    seconds: float
    def __init__(self, segment: _Optional[str] = ..., batch: _Optional[int] = ..., runs: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class PlanCount(_message.Message):
    __slots__ = ("plan", "answered", "failed", "latency_s")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    plan: str
    answered: int
    failed: int
    latency_s: float
    def __init__(self, plan: _Optional[str] = ..., answered: _Optional[int] = ..., failed: _Optional[int] = ..., latency_s: _Optional[float] = ...) -> None: ...
