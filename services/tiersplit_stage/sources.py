"""The repositories that blobs come from, open for as long as they are needed."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.layout import Descriptor
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry

OpenRegistry = Callable[[Reference, RegistryAccess], Registry]


@dataclass(frozen=True, slots=True)
class Source:
    """A bundle's repository, and the blobs that its manifest lists by digest."""

    registry: Registry
    listed: Mapping[str, Descriptor]


class Sources:
    """Repositories by bundle, each opened when it is first used and closed once nobody names or uses it.

    All of it may be called from any thread.

    Args:
        access: how registries are reached.
        open_registry: of a bundle's repository.
    """

    def __init__(self, access: RegistryAccess, open_registry: OpenRegistry) -> None:
        self._access, self._open = access, open_registry
        self._lock = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._named = frozenset[str]()
        self._used: Counter[str] = Counter()

    def keep(self, bundles: Collection[str]) -> None:
        """Close the repositories of all other bundles, those in use when they are not any more."""
        with self._lock:
            self._named = frozenset(bundles)
            self._sweep()

    @contextlib.contextmanager
    def using(self, bundle: str) -> Iterator[Source]:
        """The bundle's repository, which stays open meanwhile.

        Raises:
            BundleError: there is no such bundle.
            OperationError: the registry cannot be reached or refuses.
        """
        with self._lock:
            self._used[bundle] += 1
        try:
            yield self._sources.get(bundle) or self._opened(bundle)
        finally:
            with self._lock:
                self._used -= Counter([bundle])
                self._sweep()

    def _opened(self, bundle: str) -> Source:
        registry = self._open(Reference.parse(bundle, "route.bundle"), self._access)
        try:
            found = registry.manifest()
        except BaseException:
            registry.close()
            raise
        source = Source(registry, {entry.digest: entry for entry in (found.config, *found.layers)})
        with self._lock:
            kept = self._sources.setdefault(bundle, source)
        if kept is not source:
            registry.close()
        return kept

    def _sweep(self) -> None:
        for bundle in self._sources.keys() - self._named - self._used.keys():
            self._sources.pop(bundle).registry.close()
