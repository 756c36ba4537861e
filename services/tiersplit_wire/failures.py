"""Errors across a connection: gRPC status codes for the project's errors, and back."""

import grpc

from tiersplit_core.errors import (
    DeadlineError,
    ExhaustedError,
    FrameError,
    InputError,
    OperationError,
    TiersplitError,
    UnavailableError,
)


class NotResidentError(UnavailableError):
    """A tier was asked to run a plan whose segments it does not hold (yet, or any more)."""


_CODES: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (NotResidentError, grpc.StatusCode.FAILED_PRECONDITION),
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (ExhaustedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (InputError, grpc.StatusCode.INVALID_ARGUMENT),
)
_KINDS: dict[grpc.StatusCode, type[TiersplitError]] = {
    grpc.StatusCode.FAILED_PRECONDITION: NotResidentError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.INVALID_ARGUMENT: FrameError,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def status_of(error: Exception) -> grpc.StatusCode:
    """The status code that a client sees for `error`."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def code_of(error: Exception) -> int:
    """The number of `status_of(error)`."""
    return int(status_of(error).value[0])


def error_from(code: int, reason: str) -> TiersplitError:
    """The error that a peer's failure stands for; an unknown code is an `OperationError`."""
    known = _BY_NUMBER.get(code)
    kind = _KINDS.get(known, OperationError) if known is not None else OperationError
    return kind(reason)
