"""The Open Inference Protocol v2 at the head."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from tiersplit_core.errors import RequestError, TiersplitError, UnavailableError
from tiersplit_stage.head import Head, HeadAnswer
from tiersplit_stage.intake import check_size, largest_request_bytes, max_rows, receive
from tiersplit_stage.metrics import REFUSED, StageMetrics
from tiersplit_wire.datatypes import array_from_raw, array_from_typed, array_to_raw, datatype_of
from tiersplit_wire.failures import status_of
from tiersplit_wire.v1 import inference_pb2 as pb
from tiersplit_wire.v1 import inference_pb2_grpc as rpc
from tiersplit_wire.v1 import route_pb2 as route

T = TypeVar("T")
INFERENCE = "inference.GRPCInferenceService"
_DEFAULT_TIMEOUT_S = 60.0
_PLATFORM = "tiersplit_onnxruntime"


def read_inputs(request: pb.ModelInferRequest, model: route.Model) -> tuple[dict[str, NDArray[Any]], int]:
    """The request's arrays by tensor name, and its batch size.

    Raises:
        RequestError: says what was expected.
    """
    wanted = {tensor.name: tensor for tensor in model.inputs}
    names = [given.name for given in request.inputs]
    if sorted(names) != sorted(wanted):
        raise RequestError(f"expected the inputs {sorted(wanted)}, each once; {sorted(names)} came", "inputs")
    raw = request.raw_input_contents
    if raw and len(raw) != len(names):
        raise RequestError(f"expected {len(names)} entries, one per input; {len(raw)} came", "raw_input_contents")
    arrays: dict[str, NDArray[Any]] = {}
    rows: set[int] = set()
    for i, given in enumerate(request.inputs):
        tensor = wanted[given.name]
        shape = _shape(given, tensor, max_rows(model), f"inputs[{i}]")
        arrays[tensor.tensor] = _array(given, raw[i] if raw else None, tensor.datatype, shape, f"inputs[{i}]")
        rows |= {shape[0]} if tensor.shape and tensor.shape[0] == -1 else set()
    if len(rows) > 1:
        raise RequestError(f"all inputs have the same batch size; {sorted(rows)} came", "inputs")
    return arrays, rows.pop() if rows else 1


def _shape(
    given: pb.ModelInferRequest.InferInputTensor, tensor: route.ModelTensor, max_batch: int, path: str
) -> tuple[int, ...]:
    if given.datatype != tensor.datatype:
        raise RequestError(f"{given.name} is {tensor.datatype}, not {given.datatype!r}", f"{path}.datatype")
    shape, expected = tuple(given.shape), tuple(tensor.shape)
    fits = len(shape) == len(expected) and all(
        want in (got, -1) and got >= 0 for got, want in zip(shape, expected, strict=True)
    )
    if not fits:
        raise RequestError(f"{given.name} has shape {list(expected)}, not {list(shape)}", f"{path}.shape")
    if expected and expected[0] == -1 and not 1 <= shape[0] <= max_batch:
        raise RequestError(f"a batch has 1 to {max_batch} rows, not {shape[0]}", f"{path}.shape")
    return shape


def _array(
    given: pb.ModelInferRequest.InferInputTensor, raw: bytes | None, datatype: str, shape: tuple[int, ...], path: str
) -> NDArray[Any]:
    if raw is not None and given.contents.ListFields():
        raise RequestError(f"{given.name}: contents and raw_input_contents exclude each other", path)
    try:
        if raw is None:
            return array_from_typed(given.contents, datatype, shape)
        return array_from_raw(raw, datatype, shape)
    except RequestError as error:
        raise RequestError(f"{given.name}: {error.reason}", path) from error


def wanted_outputs(request: pb.ModelInferRequest, model: route.Model) -> Sequence[route.ModelTensor]:
    """The outputs that the request asks for, in its order; all when it names none.

    Raises:
        RequestError: an output is unknown or named twice.
    """
    known = {tensor.name: tensor for tensor in model.outputs}
    names = [asked.name for asked in request.outputs]
    for i, name in enumerate(names):
        if name not in known or name in names[:i]:
            raise RequestError(f"expected outputs among {sorted(known)}, each once; not {name!r}", f"outputs[{i}].name")
    return [known[name] for name in names] if names else list(model.outputs)


def build_response(request: pb.ModelInferRequest, answer: HeadAnswer) -> pb.ModelInferResponse:
    """The response with raw contents, and with plan, stages, exit and timings as parameters."""
    model = answer.plan.origin.model
    response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
    for tensor in wanted_outputs(request, model):
        array = answer.outputs[tensor.tensor]
        response.outputs.add(name=tensor.name, datatype=datatype_of(array.dtype), shape=array.shape)
        response.raw_output_contents.append(array_to_raw(array))
    texts = {"plan": answer.plan.digest, "stages": ",".join(answer.plan.stage_names), "exit": "final"}
    for name, text in texts.items():
        response.parameters[name].string_param = text
    for name, seconds in _timings(answer).items():
        response.parameters[name].int64_param = round(seconds * 1e6)
    return response


class ReadRequest:
    """A request, read against the model of whatever plan is to run it; against each model once.

    Args:
        request: as it came.
    """

    def __init__(self, request: pb.ModelInferRequest) -> None:
        self._request = request
        self._read: dict[int, tuple[route.Model, dict[str, NDArray[Any]], int]] = {}

    def read(self, model: route.Model) -> tuple[dict[str, NDArray[Any]], int]:
        """Its arrays by tensor name, and its batch size.

        Raises:
            RequestError: it does not fit the model; says what was expected.
        """
        if id(model) not in self._read:
            check_version(self._request.model_version, model)
            wanted_outputs(self._request, model)
            # With the model, so that nothing else can have its id meanwhile.
            self._read[id(model)] = (model, *read_inputs(self._request, model))
        _, values, rows = self._read[id(model)]
        return values, rows


def check_version(version: str, model: route.Model) -> None:
    """Refuse a request for another version than the model's; one that names none means any.

    Raises:
        RequestError: says which one it is.
    """
    if version not in ("", model.version):
        raise RequestError(f"the version is {model.version!r}, not {version!r}", "model_version")


def _timings(answer: HeadAnswer) -> dict[str, float]:
    stages = answer.answer.stages
    sums = {
        "queue_us": sum(stage.queue_s for stage in stages),
        "compute_us": sum(stage.compute_s for stage in stages),
        "codec_us": sum(stage.codec_s for stage in stages),
    }
    timings = {"total_us": answer.total_s, **sums, "network_us": max(0.0, answer.total_s - sum(sums.values()))}
    return {**timings, **{f"compute_us.{stage.tier}": stage.compute_s for stage in stages}}


class InferenceServicer(rpc.GRPCInferenceServiceServicer):
    """Answers clients.

    Args:
        head: runs their requests.
        metrics: counts what is refused.
        version: of the server.
    """

    def __init__(self, head: Head, metrics: StageMetrics, deployment: str, version: str) -> None:
        self.model: route.Model | None = None
        self.draining = False
        self._head, self._metrics, self._deployment, self._version = head, metrics, deployment, version

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Any) -> pb.ServerLiveResponse:  # noqa: ARG002, D102, N802
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:  # noqa: ARG002, D102, N802
        return pb.ServerReadyResponse(ready=self._ready)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Any) -> pb.ServerMetadataResponse:  # noqa: ARG002, D102, N802
        return pb.ServerMetadataResponse(name=self._deployment, version=self._version)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:  # noqa: D102, N802
        async def answer() -> pb.ModelReadyResponse:
            self._find(request.name, request.version)
            return pb.ModelReadyResponse(ready=self._ready)

        return await self._guarded(answer, context)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:  # noqa: D102, N802
        async def answer() -> pb.ModelMetadataResponse:
            return _metadata(self._find(request.name, request.version))

        return await self._guarded(answer, context)

    async def infer(self, _: object, context: Any) -> pb.ModelInferResponse:
        """ModelInfer; what is refused because too much is under way, or is too large, is not decoded."""
        remaining = context.time_remaining()
        deadline = time.monotonic() + (_DEFAULT_TIMEOUT_S if remaining is None else remaining)

        async def answer() -> pb.ModelInferResponse:
            with self._head.admitted():
                request = self._decoded(await receive(context, deadline))
                self._find(request.model_name, request.model_version)
                return build_response(request, await self._head.infer(ReadRequest(request), deadline))

        return await self._guarded(answer, context)

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server needs.

        ModelInfer is handled as a stream of one message, which to a client is the same: a handler of one message is
        called when that is here and decoded, however much else is under way.
        """
        found = {
            method.name: grpc.unary_unary_rpc_method_handler(
                getattr(self, method.name),
                getattr(pb, method.input_type.name).FromString,
                getattr(pb, method.output_type.name).SerializeToString,
            )
            for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
        }
        found["ModelInfer"] = grpc.stream_unary_rpc_method_handler(
            self.infer, None, pb.ModelInferResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(INFERENCE, found)

    def _decoded(self, data: bytes) -> pb.ModelInferRequest:
        models = self._head.models or ((self.model,) if self.model is not None else ())
        if models:
            check_size(len(data), max(models, key=largest_request_bytes))
        try:
            return pb.ModelInferRequest.FromString(data)
        except DecodeError as error:
            raise RequestError(f"not a ModelInferRequest: {error}") from error

    @property
    def _ready(self) -> bool:
        return self.model is not None and self._head.ready and not self.draining

    def _find(self, name: str, version: str) -> route.Model:
        model = self._head.model or self.model
        if model is None:
            raise UnavailableError("no route has come from the controller yet")
        if name != model.name:
            raise RequestError(f"this head serves the model {model.name!r}, not {name!r}", "model_name")
        check_version(version, model)
        return model

    async def _guarded(self, answer: Callable[[], Awaitable[T]], context: Any) -> T:
        try:
            return await answer()
        except TiersplitError as error:
            failure = error
        code = status_of(failure)
        self._metrics.request(REFUSED, code.name, 0.0)
        await context.abort(code, str(failure))
        raise failure


def _metadata(model: route.Model) -> pb.ModelMetadataResponse:
    response = pb.ModelMetadataResponse(
        name=model.name, versions=[model.version] if model.version else [], platform=_PLATFORM
    )
    for ours, theirs in ((model.inputs, response.inputs), (model.outputs, response.outputs)):
        for tensor in ours:
            theirs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    return response
