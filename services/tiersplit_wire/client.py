"""A client of the head: the Open Inference Protocol v2 with numpy arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from numpy.typing import NDArray

from tiersplit_core.errors import (
    DeadlineError,
    ExhaustedError,
    OperationError,
    RequestError,
    TiersplitError,
    UnavailableError,
)
from tiersplit_wire.connection import CHANNEL_OPTIONS, named, open_channel
from tiersplit_wire.datatypes import array_from_raw, array_to_raw, datatype_of
from tiersplit_wire.v1 import inference_pb2 as pb
from tiersplit_wire.v1 import inference_pb2_grpc as rpc

_ERRORS: dict[grpc.StatusCode, type[TiersplitError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: RequestError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request.

    Attributes:
        outputs: arrays by output name.
        parameters: what the head says about it: `plan`, `stages`, `exit` and server timings in microseconds.
    """

    outputs: Mapping[str, NDArray[Any]]
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def request_of(
    model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str] = (), request_id: str = ""
) -> pb.ModelInferRequest:
    """A request with raw contents."""
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    for name, array in inputs.items():
        request.inputs.add(name=name, datatype=datatype_of(array.dtype), shape=array.shape)
        request.raw_input_contents.append(array_to_raw(array))
    for name in outputs:
        request.outputs.add(name=name)
    return request


def reply_of(response: pb.ModelInferResponse) -> Reply:
    """Arrays and parameters of a response."""
    arrays = {
        tensor.name: array_from_raw(raw, tensor.datatype, tuple(tensor.shape))
        for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    parameters = {
        name: getattr(value, str(value.WhichOneof("parameter_choice"))) for name, value in response.parameters.items()
    }
    return Reply(arrays, parameters)


def error_of(error: grpc.RpcError) -> TiersplitError:
    """The project's error for a failed call."""
    kind = _ERRORS.get(error.code(), OperationError)
    return kind(f"{error.code().name}: {error.details()}")


class InferenceClient:
    """Blocking client of one head; use it as a context manager.

    Args:
        address: HOST:PORT.
        credentials: for TLS (`tiersplit_wire.connection.trusting`); None: plaintext.
        name: what the head's certificate must be made out to; empty: the host of `address`.
    """

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None, name: str = "") -> None:
        options = (*CHANNEL_OPTIONS, *named(name))
        self._channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self._stub = rpc.GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str] = (), timeout_s: float = 60.0
    ) -> Reply:
        """Answer one request.

        Args:
            model: the deployment's name.
            inputs: arrays by input name, batch first.
            outputs: names of the outputs that are wanted; all when empty.
            timeout_s: deadline, carried through all tiers.

        Raises:
            RequestError: the request does not fit the model.
            ExhaustedError, UnavailableError, DeadlineError, OperationError: it could not be answered.
        """
        try:
            return reply_of(self._stub.ModelInfer(request_of(model, inputs, outputs), timeout=timeout_s))
        except grpc.RpcError as error:
            raise error_of(error) from error

    def metadata(self, model: str, timeout_s: float = 10.0) -> pb.ModelMetadataResponse:
        """Names, datatypes and shapes of the model's inputs and outputs.

        Raises:
            TiersplitError: the head does not answer or does not serve `model`.
        """
        try:
            found: pb.ModelMetadataResponse = self._stub.ModelMetadata(
                pb.ModelMetadataRequest(name=model), timeout=timeout_s
            )
        except grpc.RpcError as error:
            raise error_of(error) from error
        return found

    def server_name(self, timeout_s: float = 10.0) -> str:
        """The deployment that the head serves.

        Raises:
            TiersplitError: the head does not answer.
        """
        try:
            return str(self._stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=timeout_s).name)
        except grpc.RpcError as error:
            raise error_of(error) from error

    def ready(self, timeout_s: float = 5.0) -> bool:
        """Whether the head can answer requests now; False where nobody listens."""
        try:
            return bool(self._stub.ServerReady(pb.ServerReadyRequest(), timeout=timeout_s).ready)
        except grpc.RpcError:
            return False

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> "InferenceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncInferenceClient:
    """The same for asyncio: many requests of one loop share one connection."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None, name: str = "") -> None:
        self._channel = open_channel(address, credentials, name)
        self._stub = rpc.GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str] = (), timeout_s: float = 60.0
    ) -> Reply:
        """Answer one request; arguments and errors as `InferenceClient.infer`."""
        try:
            return reply_of(await self._stub.ModelInfer(request_of(model, inputs, outputs), timeout=timeout_s))
        except grpc.RpcError as error:
            raise error_of(error) from error

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def __aenter__(self) -> "AsyncInferenceClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


__all__ = ["AsyncInferenceClient", "InferenceClient", "Reply", "error_of", "reply_of", "request_of"]
