"""What the watches show, by resource: filled by kopf's indexes, read by everybody else."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from tiersplit_operator.facts import Child, Document, Key, Pod, RouteRecord

Index = Mapping[Any, Iterable[Any]]
"""kopf's own: several values per key."""


class Store(Protocol):
    """What is known of the cluster."""

    def resource(self, key: Key) -> Document | None:
        """The SplitDeployment; None where there is none."""
        ...

    def keys(self) -> Iterable[Key]:
        """All SplitDeployments."""
        ...

    def children(self, key: Key) -> tuple[Child, ...]:
        """What was made for it, pods and route apart."""
        ...

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """Its pods, those of Jobs included."""
        ...

    def route(self, key: Key) -> RouteRecord | None:
        """Its route."""
        ...


class IndexedStore:
    """The store over kopf's indexes, which kopf hands out once it starts.

    Args:
        indexes: returns resources, children, pods and routes, each by `Key`.
    """

    def __init__(self, indexes: Callable[[], tuple[Index, Index, Index, Index]]) -> None:
        self._indexes = indexes

    def resource(self, key: Key) -> Document | None:
        """The SplitDeployment; None where there is none."""
        return next(iter(self._values(0, key)), None)

    def keys(self) -> Iterable[Key]:
        """All SplitDeployments."""
        return [Key(*key) for key in self._indexes()[0]]

    def children(self, key: Key) -> tuple[Child, ...]:
        """What was made for it, pods and route apart."""
        return tuple(self._values(1, key))

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """Its pods, those of Jobs included."""
        return tuple(self._values(2, key))

    def route(self, key: Key) -> RouteRecord | None:
        """Its route."""
        return next(iter(self._values(3, key)), None)

    def _values(self, position: int, key: Key) -> Iterable[Any]:
        return self._indexes()[position].get(key, ())
