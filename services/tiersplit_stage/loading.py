"""Makes resident what a route needs, one thing after another, while requests and routes go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from tiersplit_core.errors import TiersplitError
from tiersplit_stage.golden import Golden
from tiersplit_stage.plans import Origin, SegmentInfo
from tiersplit_stage.pool import Blobs, SegmentPool
from tiersplit_stage.sessions import trim_heap

T = TypeVar("T")
_BACKOFF_S = (1.0, 30.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a route asks of one stage.

    Attributes:
        bundle: where missing blobs come from; empty: they lie here.
        segments: to be loaded, the most urgent first.
        origins: whose golden requests are needed; none where this is no head.
        elsewhere: bundles of the blobs that `bundle` does not have, by digest.
    """

    bundle: str
    segments: Sequence[SegmentInfo]
    origins: Sequence[Origin] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def blobs(self) -> frozenset[str]:
        """Digests of all blobs that are needed."""
        own = {digest for segment in self.segments for digest in (segment.blob, *segment.weights)}
        return frozenset(own.union(*(origin.golden for origin in self.origins)))


class Loading:
    """Pulls and loads in threads of its own; what fails is tried again, at last every half minute.

    Args:
        store: where blobs come from.
        pool: where segments are loaded.

    Attributes:
        golden: the golden requests that are wanted, as far as they are here.
        changed: called when something became resident, or cannot.
    """

    def __init__(self, store: Blobs, pool: SegmentPool) -> None:
        self.golden: Mapping[Origin, Golden] = {}
        self.changed: Callable[[], None] = lambda: None
        self._store, self._pool = store, pool
        self._problems: dict[str, str] = {}
        self._wanted: Wanted | None = None
        self._news = asyncio.Event()
        self._now = ""
        # Apart from each other: what is dropped or trimmed does not wait for what comes over a slow link.
        self._fetcher, self._loader = ThreadPoolExecutor(1, "fetch"), ThreadPoolExecutor(1, "load")

    @property
    def problem(self) -> str:
        """Why something that is wanted is not resident; empty: nothing failed."""
        return next(iter(self._problems.values()), "")

    @property
    def progress(self) -> str:
        """What is being made resident; empty: nothing."""
        return self._store.progress or self._now

    def want(self, wanted: Wanted) -> None:
        """A route came: make this resident instead of what was wanted before."""
        self.golden = {origin: found for origin, found in self.golden.items() if origin in wanted.origins}
        self._wanted = wanted
        self._store.follow(wanted.bundle, wanted.blobs, wanted.elsewhere)
        self._news.set()

    async def run(self) -> None:
        """Make resident what is wanted, for ever."""
        backoff = _BACKOFF_S[0]
        while True:
            self._news.clear()
            if self._wanted is not None:
                await self._round(self._wanted)
            try:
                await asyncio.wait_for(self._news.wait(), backoff if self._problems else None)
                backoff = _BACKOFF_S[0]
                self._problems.clear()
            except TimeoutError:
                backoff = min(2 * backoff, _BACKOFF_S[1])

    async def drop(self, blobs: Iterable[str]) -> None:
        """Forget segments and hand their memory back."""
        await self._in(self._loader, lambda: self._pool.drop(blobs))
        self._news.set()  # a route that came meanwhile may want one of them

    async def trim(self) -> None:
        """Hand back memory that nothing uses."""
        await self._in(self._loader, trim_heap)

    def close(self) -> None:
        """Stop; threads end after what they do now."""
        self._store.close()
        for threads in (self._fetcher, self._loader):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _round(self, wanted: Wanted) -> None:
        for origin in wanted.origins:
            if origin.golden and origin not in self.golden:
                await self._guarded(f"golden request {origin.golden[0]}", self._load_golden(wanted, origin))
        for segment in wanted.segments:
            if self._news.is_set():
                return  # a newer route is here; what it needs matters more
            if segment.blob not in self._pool.loaded:
                await self._guarded(f"segment {segment.id}", self._load(segment))

    async def _guarded(self, what: str, work: Awaitable[None]) -> None:
        self._now = f"loading {what}"
        try:
            await work
            self._problems.pop(what, None)
        except TiersplitError as error:
            if not self._news.is_set():  # else it may have been stopped for the newer route
                self._problems[what] = str(error)
        finally:
            self._now = ""
            self.changed()

    async def _load_golden(self, wanted: Wanted, origin: Origin) -> None:
        found = await self._in(self._fetcher, lambda: Golden(self._store, origin))
        if wanted is self._wanted:
            self.golden = {**self.golden, origin: found}

    async def _load(self, segment: SegmentInfo) -> None:
        await self._in(self._fetcher, lambda: [self._store.path(blob) for blob in (*segment.weights, segment.blob)])
        await self._in(self._loader, lambda: self._pool.load(segment))

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
