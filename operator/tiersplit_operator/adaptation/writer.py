"""Writing routes: the ConfigMap is the truth, its resourceVersion the fence, its epoch only grows."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.facts import Owner, RouteRecord
from tiersplit_operator.resources.configmaps import epoch_of, route_config_map
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

    The first epoch of a writer that finds no route is the time in milliseconds: pods that outlived the route's deletion
    refuse older epochs than theirs.

    Args:
        api: the API server.
        settings: the operator's own.
        owner: the SplitDeployment.
        record: the route as it stands; None where there is none.
        wall: the time in seconds since 1970.
    """

    def __init__(
        self,
        api: ConfigMaps,
        settings: OperatorSettings,
        owner: Owner,
        record: RouteRecord | None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.owner = owner
        self._api, self._settings, self._wall = api, settings, wall
        self.epoch = record.epoch if record is not None else 0
        self._version = record.resource_version if record is not None else ""

    def known(self, record: RouteRecord) -> None:
        """The watch showed this; an older state than was written is not believed."""
        if record.epoch >= self.epoch:
            self.epoch, self._version = record.epoch, record.resource_version

    async def gone(self) -> bool:
        """Whether the route that was written is there no more, though the watch may be behind.

        Raises:
            OperationError: the API server does not say.
        """
        return await self._found() is None

    async def write(self, route: pb.Route, selected: str) -> None:
        """Make `route` the truth; its epoch is set.

        Args:
            route: the route.
            selected: digest of the plan that heads use; empty: none.

        Raises:
            OperationError: it is too large, somebody else writes it as well, or the API server does not take it.
        """
        for _ in range(TRIES):
            route.epoch = self.epoch + 1 if self.epoch else int(self._wall() * 1000)
            document = self._document(route, selected)
            try:
                written = await (
                    self._api.replace_config_map(document) if self._version else self._api.create(document)
                )
            except ConflictError:
                await self._look_again()
            except OperationError:
                if not self._version or not await self.gone():
                    raise
                self._version = ""
            else:
                self.epoch, self._version = route.epoch, str(written["metadata"]["resourceVersion"])
                return
        raise OperationError(f"the route of {self.owner.key.name} changes faster than it can be written")

    def _document(self, route: pb.Route, selected: str) -> dict[str, Any]:
        payload = route.SerializeToString(deterministic=True)
        if len(payload) > MAX_ROUTE_BYTES:
            raise OperationError(f"the route takes {len(payload)} bytes, more than the {MAX_ROUTE_BYTES} that fit")
        bundle = route.bundle.rpartition("@")[2]
        document = route_config_map(self.owner, payload, route.epoch, bundle, selected, self._settings)
        if self._version:
            document["metadata"]["resourceVersion"] = self._version
        return document

    async def _look_again(self) -> None:
        """Somebody touched it: labels and the like are written over, a newer route is not."""
        found = await self._found()
        if found is None:
            self._version = ""
            return
        metadata = found["metadata"]
        epoch = epoch_of(metadata.get("annotations") or {})
        if self.epoch and epoch > self.epoch:
            raise OperationError(f"another process has written a newer route of {self.owner.key.name}")
        self.epoch = max(self.epoch, epoch)
        self._version = str(metadata["resourceVersion"])

    async def _found(self) -> Document | None:
        key = self.owner.key
        return await self._api.get("ConfigMap", key.namespace, route_name(key.name))
