"""kopf: indexes that keep what watches show, and handlers that do nothing but put keys into the queue.

kopf swallows the errors of these handlers and never retries them; the queue owns retries.
"""

from collections.abc import Callable, Iterable
from typing import Any

import kopf

# Both may be given to `spawn_tasks`: there is no other way to make kopf forget an object that it was told nothing of.
from kopf._core.engines.indexing import OperatorIndexers
from kopf._core.reactor.inventory import ResourceMemories

from tiersplit_api.v1alpha1.types import GROUP, KIND, VERSION
from tiersplit_operator.census import Known
from tiersplit_operator.clients.kinds import KINDS
from tiersplit_operator.facts import Document, Key
from tiersplit_operator.projection import child_of, key_of, pod_of, resource_of, route_of
from tiersplit_operator.resources.context import MANAGED_BY, MANAGER
from tiersplit_operator.settings import OperatorSettings
from tiersplit_operator.store import Index

CHILDREN = (
    "ConfigMap",
    "Service",
    "ServiceAccount",
    "Deployment",
    "DaemonSet",
    "Job",
    "PodDisruptionBudget",
    "NetworkPolicy",
)
COALESCE_S = 0.1
"""Changes come in bursts: one look serves all of them."""
Indexes = tuple[Index, Index, Index, Index]


class Handlers:
    """Everything that kopf calls.

    Args:
        settings: the operator's own.
        add: puts a key into the queue, to be looked at within so many seconds.
        gone: told a resource that was deleted.
        route_changed: told a resource whose route changed.
    """

    def __init__(
        self,
        settings: OperatorSettings,
        add: Callable[[Key, float], None],
        gone: Callable[[Key], None],
        route_changed: Callable[[Key], None],
    ) -> None:
        self._settings, self._add, self._gone = settings, add, gone
        self._route_changed = route_changed
        self._seen: dict[Key, tuple[Any, ...]] = {}
        self._known: dict[str, tuple[Known, Key]] = {}
        self._indexes: Indexes = ({}, {}, {}, {})
        self._indexers, self._memories = OperatorIndexers(), ResourceMemories()
        self.registry = kopf.OperatorRegistry()
        self._register()

    def indexes(self) -> Indexes:
        """Resources, children, pods and routes, each by `Key`."""
        return self._indexes

    def remembered(self) -> dict[str, Any]:
        """What `kopf.spawn_tasks` is told of where it keeps objects."""
        return {"indexers": self._indexers, "memories": self._memories}

    def known(self) -> frozenset[Known]:
        """All objects that the watches have shown, those apart that they have shown to be gone."""
        return frozenset(known for known, _ in self._known.values())

    async def vanished(self, gone: Known) -> None:
        """An object went without a word: forget it as if its watch had told."""
        body: Any = {"metadata": {"namespace": gone.namespace, "name": gone.name, "uid": gone.uid}}
        self._indexers.discard(body)
        await self._memories.forget(body)
        _, key = self._known.pop(gone.uid, (gone, Key(gone.namespace, gone.name)))
        if gone.kind != KIND or key in self._indexes[0]:  # another one may have taken its name
            self._add(key, 0.0)
        else:
            self._seen.pop(key, None)
            self._gone(key)

    def _note(self, event: str | None, body: kopf.Body, key: Key) -> None:
        metadata = body["metadata"]
        uid = str(metadata["uid"])
        if event == "DELETED":
            self._known.pop(uid, None)
        elif uid not in self._known:
            known = Known(str(body["kind"]), str(metadata["namespace"]), str(metadata["name"]), uid)
            self._known[uid] = known, key

    def _register(self) -> None:
        registry = self.registry
        kopf.on.startup(registry=registry)(self._start)
        kopf.on.login(registry=registry)(_log_in)
        resource = (GROUP, VERSION, KINDS[KIND].plural)
        kopf.index(*resource, id="resources", registry=registry)(_index_resource)
        kopf.on.event(*resource, id="resource", registry=registry)(self._resource_changed)
        for kind in CHILDREN:
            kopf.index(*_where(kind), id="children", registry=registry)(_index_child(kind))
            kopf.on.event(*_where(kind), id=f"child-{kind}", registry=registry)(self._child_changed)
        kopf.index(*_where("Pod"), id="pods", registry=registry)(_index_pod)
        kopf.on.event(*_where("Pod"), id="pod", registry=registry)(self._child_changed)
        kopf.index(*_where("ConfigMap"), id="routes", registry=registry)(_index_route)

    async def _start(self, settings: kopf.OperatorSettings, **given: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = bool(self._settings.namespaces)
        # A busy API server takes long to list thousands of objects, and longer where that is begun anew meanwhile.
        settings.networking.request_timeout = 120
        settings.networking.connect_timeout = 10
        settings.persistence.diffbase_storage = _NoDiffs()
        settings.watching.server_timeout = 600
        settings.watching.connect_timeout = 10
        for kind in (*CHILDREN, "Pod"):
            settings.watching.label_selectors[_where(kind)] = f"{MANAGED_BY}={MANAGER}"
        self._indexes = (given["resources"], given["children"], given["pods"], given["routes"])

    async def _resource_changed(self, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        metadata = body["metadata"]
        key = Key(str(metadata["namespace"]), str(metadata["name"]))
        self._note(type, body, key)
        if type == "DELETED":
            self._seen.pop(key, None)
            self._gone(key)
            return
        # Our own writes of the status change none of these.
        annotations = tuple(sorted((metadata.get("annotations") or {}).items()))
        seen = (metadata["uid"], metadata.get("generation"), annotations, metadata.get("deletionTimestamp"))
        if self._seen.get(key) != seen:
            self._seen[key] = seen
            self._add(key, 0.0)

    async def _child_changed(self, type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        key = key_of(body)
        if key is None:
            return
        self._note(type, body, key)
        if body.get("kind") == "ConfigMap" and route_of(body) is not None:
            self._route_changed(key)
        self._add(key, COALESCE_S)


class _NoDiffs(kopf.DiffBaseStorage):
    """What kopf remembers of an object to find differences: nothing. No handler asks for any, and each costs copies."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


def _where(kind: str) -> tuple[str, str, str]:
    info = KINDS[kind]
    return info.group, info.version, info.plural


def _log_in(**given: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)


def _plain(body: Document) -> dict[str, Any]:
    """What kopf shows of an object, as plain values."""
    return {key: _copied(value) for key, value in body.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _index_resource(body: kopf.Body, **_: Any) -> dict[Key, Any]:
    metadata = body["metadata"]
    return {Key(str(metadata["namespace"]), str(metadata["name"])): resource_of(_plain(body))}


def _index_child(kind: str) -> Callable[..., dict[Key, Any] | None]:
    def index(body: kopf.Body, **_: Any) -> dict[Key, Any] | None:
        key = key_of(body)
        if key is None or (kind == "ConfigMap" and route_of(body) is not None):
            return None
        return {key: child_of(kind, _plain(body))}

    return index


def _index_pod(body: kopf.Body, **_: Any) -> dict[Key, Any] | None:
    key = key_of(body)
    return None if key is None else {key: pod_of(body)}


def _index_route(body: kopf.Body, **_: Any) -> dict[Key, Any] | None:
    key, found = key_of(body), route_of(body)
    return None if key is None or found is None else {key: found}


def watched(settings: OperatorSettings) -> dict[str, Any]:
    """What `kopf.operator` is told about namespaces."""
    namespaces: Iterable[str] = settings.namespaces
    return {"namespaces": list(namespaces)} if settings.namespaces else {"clusterwide": True}
