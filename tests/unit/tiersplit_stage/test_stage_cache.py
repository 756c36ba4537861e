"""The cache of blobs: what is pulled, what stays, what goes, and what is said when nothing can."""

import hashlib
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.layout import Descriptor, blob_file
from tiersplit_core.errors import BundleError, OperationError
from tiersplit_stage.cache import BlobCache
from tiersplit_stage.shelf import Kept, Shelf, choose_victims

BUNDLE = "oci://registry.example/models/tiny@sha256:" + "0" * 64
DATA = {f"sha256:{hashlib.sha256(data).hexdigest()}": data for data in (bytes([i]) * 1000 for i in range(6))}
DIGESTS = tuple(DATA)


class FakeRegistry:
    """The bundle's repository; `away` makes it unreachable, `gate` holds transfers up."""

    def __init__(self):
        self.away, self.pulled, self.opened, self.closed = False, [], [], 0
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()

    def open(self, reference, _):
        self.opened.append(str(reference))
        return self

    def manifest(self):
        self._reach()
        return self

    config = Descriptor("config", DIGESTS[0], 1000)
    layers = tuple(Descriptor("layer", digest, 1000) for digest in DIGESTS[1:])

    def pull_blob(self, entry, path, stop):
        self._reach()
        self.begun.set()
        while not self.gate.wait(0.005):
            if stop.is_set():
                raise OperationError(f"pulling {entry.digest} was stopped")
        self.pulled.append(entry.digest)
        path.write_bytes(DATA[entry.digest])

    def close(self):
        self.closed += 1

    def _reach(self):
        if self.away:
            raise OperationError("the registry cannot be reached")


@pytest.fixture
def registry():
    return FakeRegistry()


@pytest.fixture
def made(tmp_path, registry):
    caches = []

    def make(limit_bytes=0):
        cache = BlobCache(tmp_path, limit_bytes, RegistryAccess(), registry.open)
        cache.follow(BUNDLE, DIGESTS)
        caches.append(cache)
        return cache

    yield make
    for cache in caches:
        cache.close()


def age(cache_folder, digest, seconds):
    then = time.time() - seconds
    os.utime(blob_file(cache_folder, digest), (then, then))


def lies(folder):
    return {digest for digest in DIGESTS if blob_file(folder, digest).exists()}


def test_a_blob_is_pulled_once_and_only_when_it_is_asked_for(made, registry):
    cache = made()
    for _ in range(2):
        assert cache.path(DIGESTS[1]).read_bytes() == DATA[DIGESTS[1]]
    assert registry.pulled == [DIGESTS[1]]
    assert registry.opened == [BUNDLE]


def test_a_restart_with_the_registry_away_serves_from_what_is_kept(made, registry):
    made().path(DIGESTS[1])
    registry.away = True
    restarted = made()
    assert restarted.path(DIGESTS[1]).read_bytes() == DATA[DIGESTS[1]]
    with pytest.raises(OperationError, match="cannot be reached"):
        restarted.path(DIGESTS[2])
    registry.away = False
    assert restarted.path(DIGESTS[2]).exists()


def test_a_blob_that_was_damaged_on_the_disk_is_pulled_again(made, registry):
    path = made().path(DIGESTS[1])
    path.write_bytes(b"something else")
    assert made().path(DIGESTS[1]).read_bytes() == DATA[DIGESTS[1]]
    assert registry.pulled == [DIGESTS[1]] * 2


def test_a_blob_that_the_bundle_does_not_list_is_refused_by_its_digest(made):
    foreign = "sha256:" + "f" * 64
    with pytest.raises(BundleError, match=f"{foreign}: .*does not list"):
        made().path(foreign)


def test_a_route_without_a_bundle_says_so(made):
    cache = made()
    cache.follow("", DIGESTS)
    with pytest.raises(OperationError, match="names no bundle"):
        cache.path(DIGESTS[1])


def test_a_blob_that_another_bundle_has_is_pulled_from_there(made, registry):
    cache, other = made(), BUNDLE.replace("tiny", "before")
    cache.follow(BUNDLE, DIGESTS, {DIGESTS[2]: other})
    for digest in DIGESTS[1:4]:
        cache.path(digest)
    assert registry.opened == [BUNDLE, other]
    cache.follow(BUNDLE, DIGESTS)
    cache.path(DIGESTS[4])
    assert registry.opened == [BUNDLE, other]


def test_a_repository_is_closed_once_no_route_names_it_and_all_are_when_the_cache_is(tmp_path, registry):
    cache, other = BlobCache(tmp_path, 0, RegistryAccess(), registry.open), BUNDLE.replace("tiny", "before")
    cache.follow(BUNDLE, DIGESTS, {DIGESTS[2]: other})
    for digest in DIGESTS[1:4]:
        cache.path(digest)
    assert registry.closed == 0
    cache.follow(BUNDLE, DIGESTS)
    assert registry.closed == 1
    cache.close()
    assert registry.closed == 2


def test_a_repository_whose_manifest_cannot_be_had_is_closed(made, registry):
    cache, registry.away = made(), True
    with pytest.raises(OperationError, match="cannot be reached"):
        cache.path(DIGESTS[1])
    assert registry.closed == len(registry.opened) == 1


def test_a_repository_in_use_is_closed_after_it_and_not_under_it(made, registry):
    cache = made()
    registry.gate.clear()
    pulled = []
    thread = threading.Thread(target=lambda: pulled.append(cache.path(DIGESTS[1])))
    thread.start()
    registry.begun.wait(10)
    cache.follow(BUNDLE.replace("tiny", "after"), DIGESTS)
    assert registry.closed == 0
    registry.gate.set()
    thread.join(10)
    assert pulled
    assert registry.closed == 1


def test_the_longest_unused_blobs_that_no_route_needs_make_room(made, tmp_path):
    cache = made(3000)
    for place, digest in enumerate(DIGESTS[:3]):
        cache.path(digest)
        age(tmp_path, digest, 100 - 10 * place)
    cache.path(DIGESTS[0])  # used again
    cache.follow(BUNDLE, [DIGESTS[3]])
    cache.path(DIGESTS[3])
    assert lies(tmp_path) == {DIGESTS[0], DIGESTS[2], DIGESTS[3]}


def test_what_the_route_needs_never_goes_and_the_limit_is_explained(made, tmp_path):
    cache = made(2000)
    cache.path(DIGESTS[0])
    cache.path(DIGESTS[1])
    with pytest.raises(OperationError, match=r"1000 B more must fit.*sizeLimit"):
        cache.path(DIGESTS[2])
    assert lies(tmp_path) == set(DIGESTS[:2])


def test_a_full_disk_is_explained_and_costs_nothing_that_is_needed(made, tmp_path, monkeypatch):
    cache = made()
    cache.path(DIGESTS[0])
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(OperationError, match=r"must fit.*sizeLimit"):
        cache.path(DIGESTS[1])
    assert lies(tmp_path) == {DIGESTS[0]}


def test_what_another_living_process_needs_stays_and_what_a_dead_one_claimed_goes(made, tmp_path):
    mine = made(2000)
    other = Shelf(tmp_path, 2000)
    mine.path(DIGESTS[0])
    mine.path(DIGESTS[1])
    other.claim({DIGESTS[0], DIGESTS[1]})
    mine.follow(BUNDLE, [DIGESTS[2]])
    with pytest.raises(OperationError, match="must fit"):
        mine.path(DIGESTS[2])
    claim = other._claim_path.read_bytes()
    other.close()
    (tmp_path / "claims" / "left-behind").write_bytes(claim)
    mine.path(DIGESTS[2])
    assert DIGESTS[2] in lies(tmp_path)
    assert len(list((tmp_path / "claims").iterdir())) == 1


def test_what_a_newer_route_does_not_need_stops_coming(made, registry):
    cache = made()
    registry.gate.clear()
    failure = []

    def pull():
        try:
            cache.path(DIGESTS[1])
        except OperationError as error:
            failure.append(str(error))

    thread = threading.Thread(target=pull)
    thread.start()
    registry.begun.wait(10)
    assert cache.progress == f"pulling {DIGESTS[1][:19]}…: 0 B of 1000 B"
    cache.follow(BUNDLE, [DIGESTS[1], DIGESTS[2]])
    assert thread.is_alive()
    cache.follow(BUNDLE, [DIGESTS[2]])
    thread.join(10)
    assert failure == [f"pulling {DIGESTS[1]} was stopped"]
    assert cache.progress == ""
    registry.gate.set()
    assert cache.path(DIGESTS[2]).exists()


def test_a_part_that_a_dead_process_left_counts_and_goes_like_a_blob(made, tmp_path):
    cache = made(2000)
    part = blob_file(tmp_path, DIGESTS[4]).with_name(f".{DIGESTS[4][7:]}.part")
    part.write_bytes(bytes(1500))
    cache.follow(BUNDLE, [DIGESTS[1]])
    cache.path(DIGESTS[1])
    assert not part.exists()


KEPT = st.builds(
    Kept, st.just(Path()), st.sampled_from(DIGESTS), st.integers(0, 50), st.floats(0, 1e9, allow_nan=False)
)


@given(st.lists(KEPT, max_size=12), st.sets(st.sampled_from(DIGESTS)), st.integers(-10, 300))
def test_victims_are_enough_unneeded_oldest_first_and_no_more_than_it_takes(kept, needed, wanted):
    free = [found for found in kept if found.digest not in needed]
    try:
        victims = choose_victims(kept, needed, wanted)
    except OperationError:
        assert sum(found.size for found in free) < wanted
        return
    assert sum(found.size for found in victims) >= wanted
    assert not {found.digest for found in victims} & needed
    assert not victims or sum(found.size for found in victims[:-1]) < wanted
    assert victims == sorted(free, key=lambda found: found.used_at)[: len(victims)]


def test_a_volume_that_cannot_be_written_is_a_clear_failure(made, registry, monkeypatch):
    cache = made()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(registry, "pull_blob", refuse)
    with pytest.raises(OperationError, match=rf"cannot keep {DIGESTS[1]}: Permission denied"):
        cache.path(DIGESTS[1])


def test_after_its_end_nothing_is_pulled_or_claimed(made, registry, tmp_path):
    cache = BlobCache(tmp_path, 0, RegistryAccess(), registry.open)
    cache.follow(BUNDLE, DIGESTS)
    cache.path(DIGESTS[1])
    cache.close()
    reused = (tmp_path / "another").open("w+b")  # gets the number that the claim's file had
    reused.write(b"kept")
    reused.flush()
    with pytest.raises(OperationError):
        cache.path(DIGESTS[2])
    assert registry.pulled == [DIGESTS[1]]
    assert (tmp_path / "another").read_bytes() == b"kept"
    reused.close()


def test_progress_survives_that_what_it_looks_at_goes(tmp_path, monkeypatch):
    shelf = Shelf(tmp_path, 0)
    gone = blob_file(tmp_path, DIGESTS[1]).with_name(f".{DIGESTS[1][7:]}.part")
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone]))
    assert shelf.begun_bytes(DIGESTS[1]) == 0
    shelf.close()
