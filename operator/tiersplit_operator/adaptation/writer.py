"""Writing routes: the ConfigMap is the truth, its resourceVersion the fence, its epoch only grows."""

from collections.abc import Mapping
from typing import Any, Protocol

from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.facts import Owner, RouteRecord
from tiersplit_operator.resources.configmaps import route_config_map
from tiersplit_operator.resources.context import EPOCH_ANNOTATION
from tiersplit_operator.resources.names import route_name
from tiersplit_operator.settings import OperatorSettings
from tiersplit_wire.v1 import route_pb2 as pb

TRIES = 4
MAX_ROUTE_BYTES = 700 * 2**10
"""A ConfigMap may have 1 MiB, and the route stands in it as base64."""
Document = Mapping[str, Any]


class ConfigMaps(Protocol):
    """What writing needs of the API."""

    async def get(self, kind: str, namespace: str, name: str) -> Document | None:
        """The object, or None."""
        ...

    async def create(self, document: Document) -> Document:
        """Make it; ConflictError where it is there."""
        ...

    async def replace_config_map(self, document: Document) -> Document:
        """Write it; ConflictError where it changed since."""
        ...


class RouteWriter:
    """Writes the route of one resource, each time under the next epoch.

    Args:
        api: the API server.
        settings: the operator's own.
        owner: the SplitDeployment.
        record: the route as it stands; None where there is none.
    """

    def __init__(self, api: ConfigMaps, settings: OperatorSettings, owner: Owner, record: RouteRecord | None) -> None:
        self._api, self._settings, self._owner = api, settings, owner
        self.epoch = record.epoch if record is not None else 0
        self._version = record.resource_version if record is not None else ""

    def known(self, record: RouteRecord | None) -> None:
        """The watch showed this; an older state than was written is not believed."""
        if record is None:
            self._version = ""
        elif record.epoch >= self.epoch:
            self.epoch, self._version = record.epoch, record.resource_version

    async def write(self, route: pb.Route, bundle: str, selected: str) -> None:
        """Make `route` the truth; its epoch is set.

        Raises:
            OperationError: it is too large, or the API server does not take it.
        """
        for _ in range(TRIES):
            route.epoch = self.epoch + 1
            try:
                await self._try(self._document(route, bundle, selected))
            except ConflictError:
                await self._look_again()
            else:
                self.epoch = route.epoch
                return
        raise OperationError(f"the route of {self._owner.key.name} is written by somebody else as well")

    def _document(self, route: pb.Route, bundle: str, selected: str) -> dict[str, Any]:
        payload = route.SerializeToString(deterministic=True)
        if len(payload) > MAX_ROUTE_BYTES:
            raise OperationError(f"the route takes {len(payload)} bytes, more than the {MAX_ROUTE_BYTES} that fit")
        document = route_config_map(self._owner, payload, route.epoch, bundle, selected, self._settings)
        if self._version:
            document["metadata"]["resourceVersion"] = self._version
        return document

    async def _try(self, document: dict[str, Any]) -> None:
        written = await (self._api.replace_config_map(document) if self._version else self._api.create(document))
        self._version = str(written["metadata"]["resourceVersion"])

    async def _look_again(self) -> None:
        key = self._owner.key
        found = await self._api.get("ConfigMap", key.namespace, route_name(key.name))
        if found is None:
            self._version = ""
            return
        metadata = found["metadata"]
        self._version = str(metadata["resourceVersion"])
        written = (metadata.get("annotations") or {}).get(EPOCH_ANNOTATION, "0")
        self.epoch = max(self.epoch, int(written) if str(written).isdecimal() else 0)
