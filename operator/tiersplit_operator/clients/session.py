"""One connection to the API server: authentication, time limits, and its errors in our words."""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.dynamic.client import DynamicClient
from kubernetes.aio.dynamic.resource import Resource

from tiersplit_api.v1alpha1.types import KIND
from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.clients.kinds import KINDS

Document = Mapping[str, Any]
REQUEST_S = 15.0
CONNECTIONS = 32
MAX_MESSAGE = 800
_ENDING = "NamespaceTerminating"


class Call(NamedTuple):
    """A call that was made: for metrics."""

    verb: str
    kind: str
    status: int
    seconds: float


class ApiError(OperationError):
    """The API server did not do what was asked.

    Attributes:
        status: the HTTP status; 0 where there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class RejectedError(ApiError):
    """The API server refuses what was sent: sending it again is of no use until something else changes."""


class EndingError(ApiError):
    """The namespace is being deleted: nothing is made in it any more."""


class MissingError(ApiError):
    """There is no such object."""


async def load_configuration() -> Configuration:
    """How the API server is reached: the pod's service account, else the file in KUBECONFIG.

    Raises:
        OperationError: neither is there.
    """
    found: Configuration = type.__call__(Configuration)
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(found)
        else:
            await config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=found)
    except (config.ConfigException, OSError) as error:
        raise OperationError(f"no way to reach the API server: {error}; set KUBECONFIG or run in a pod") from error
    found.connection_pool_maxsize = CONNECTIONS
    # Proxies come from the kubeconfig alone, as kopf's do; else each call reads the environment and ~/.netrc anew.
    found.client_session_kwargs = {"trust_env": False}
    return found


class Session:
    """Makes calls; an asynchronous context manager.

    Args:
        configuration: how the API server is reached.
        called: told every call that was made.
        limit_s: how long one call may take.
    """

    def __init__(
        self,
        configuration: Configuration,
        called: Callable[[Call], None] = lambda _call: None,
        limit_s: float = REQUEST_S,
    ) -> None:
        self._called, self._limit_s = called, limit_s
        self._client = ApiClient(configuration=configuration)
        self._dynamic = DynamicClient(self._client)
        self._resources = {kind: _resource(self._dynamic, kind) for kind in KINDS}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._client.close()

    async def call(self, verb: str, kind: str, options: Mapping[str, Any], subresource: str = "") -> dict[str, Any]:
        """One call of the dynamic client, its answer as parsed JSON.

        Raises:
            ConflictError: the object changed meanwhile, or is there already.
            MissingError: there is no such object.
            EndingError: its namespace is being deleted.
            RejectedError: what was sent is refused.
            ApiError: anything else, a missing answer included.
        """
        resource = self._resources[kind]
        target = resource.subresources[subresource] if subresource else resource
        common = {"_request_timeout": aiohttp.ClientTimeout(total=self._limit_s), "serializer": _plain}
        began, status = time.monotonic(), 0
        try:
            answer = await getattr(self._dynamic, verb)(target, **options, **common)
            status = 200
        except ApiException as error:
            status = error.status or 0
            raise _translated(error, f"{verb} {kind}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(f"{verb} {kind}: the API server does not answer: {error or 'it took too long'}") from error
        finally:
            self._called(Call(verb, kind, status, time.monotonic() - began))
        return answer if isinstance(answer, dict) else {}


def _resource(client: DynamicClient, kind: str) -> Resource:
    info = KINDS[kind]
    status = {"status": {"kind": kind, "name": f"{info.plural}/status", "namespaced": info.namespaced}}
    return Resource(
        prefix="apis" if info.group else "api",
        group=info.group,
        api_version=info.version,
        kind=kind,
        namespaced=info.namespaced,
        name=info.plural,
        client=client,
        subresources=status if kind == KIND else None,
    )


def _plain(_client: object, data: Any) -> Any:
    return data


def _translated(error: ApiException, what: str) -> OperationError:
    message = f"{what}: {_message(error)}"
    status = error.status or 0
    if status == 409:
        return ConflictError(message)
    if status == 404:
        return MissingError(message, status)
    if status == 403 and _ENDING in _causes(error):
        return EndingError(message, status)
    return (RejectedError if status in {400, 403, 413, 422} else ApiError)(message, status)


def _causes(error: ApiException) -> set[str]:
    """The reasons in the API server's Status object."""
    try:
        return {str(cause["reason"]) for cause in _status(error)["details"]["causes"]}
    except (KeyError, TypeError):
        return set()


def _message(error: ApiException) -> str:
    """The sentence of the API server's Status object."""
    try:
        words = str(_status(error)["message"])
    except (KeyError, TypeError):
        words = f"{error.status} {error.reason}"
    return words[:MAX_MESSAGE]


def _status(error: ApiException) -> Any:
    """The API server's Status object; None where it sent something else."""
    try:
        return json.loads(error.body or "")
    except ValueError:
        return None
