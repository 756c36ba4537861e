"""The registry client against a real registry: what it pushes, pulls, extends, lists and deletes."""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.oci_registry import Answer, oci_registry, proxy
from tests.support.registry_bundles import BIG, PLAIN, connect, same, segment, write
from tiersplit_bundle import Blob, Bundle, extend, media
from tiersplit_bundle.layout import blob_file, digest_of
from tiersplit_bundle.registry import Registry
from tiersplit_bundle.transfer import Source, Upload
from tiersplit_bundle.transport import Transport
from tiersplit_core.errors import BundleError


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def front(running):
    with proxy(running.host) as found:
        yield found


def test_a_bundle_that_was_pushed_is_pulled_as_it_was(running, tmp_path):
    bundle = write(tmp_path / "a")
    with connect(running.host) as registry:
        assert registry.push_bundle(bundle) == bundle.digest
        pulled = registry.pull_bundle(tmp_path / "b")
    assert pulled.digest == bundle.digest
    assert same(bundle, pulled)
    assert same(bundle, Bundle.open(tmp_path / "b"))


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weights=st.lists(st.binary(max_size=300), max_size=5), names=st.sets(st.sampled_from("abcdef"), max_size=4))
def test_whatever_a_bundle_holds_it_comes_back_by_digest(running, tmp_path_factory, weights, names):
    root = tmp_path_factory.mktemp("any")
    bundle = extend(write(root / "a", weights), [segment(name) for name in sorted(names)])
    with connect(running.host, "models/any", None) as registry:
        digest = registry.push_bundle(bundle)
    with Registry(registry.reference.at(digest), PLAIN) as registry:
        assert same(bundle, registry.pull_bundle(root / "b"))


def test_a_second_push_sends_no_blob_again(running, front, tmp_path):
    bundle = write(tmp_path / "a")
    with connect(running.host) as registry:
        registry.push_bundle(bundle)
    with connect(front.host) as registry:
        registry.push_bundle(bundle)
    assert [line.split()[0] for line in front.seen if not line.startswith("HEAD")] == ["PUT"]


def test_blobs_of_another_repository_are_mounted_and_not_sent(running, front, tmp_path):
    bundle = write(tmp_path / "a")
    with connect(running.host) as registry:
        registry.push_bundle(bundle)
    with connect(front.host, "models/copy") as registry:
        registry.push_bundle(bundle, mount_from="models/m")
        assert same(bundle, registry.pull_bundle(tmp_path / "b"))
    assert not [line for line in front.seen if "uploads" in line and "mount=" not in line]


def test_a_stage_pulls_its_own_segments_and_nothing_else(running, front, tmp_path):
    small = digest_of(b"second")
    bundle = extend(write(tmp_path / "a"), [segment("head", [small]), segment("tail", [digest_of(BIG)])])
    with connect(running.host, "models/cut") as registry:
        registry.push_bundle(bundle)
    with connect(front.host, "models/cut") as registry:
        known = registry.pull_bundle(tmp_path / "b", blobs=())
        chosen = known.needed_by(["head"])
        part = registry.pull_bundle(tmp_path / "b", blobs=chosen)
    assert part.segment_path(part.segments[0]).read_bytes() == b"segment head"
    assert not blob_file(tmp_path / "b", digest_of(BIG)).exists()
    with pytest.raises(BundleError, match="missing"):
        part.segment_path(part.segments[1])
    with pytest.raises(BundleError, match="no segment 'middle'"):
        part.needed_by(["middle"])


def test_what_lies_in_the_cache_is_not_fetched_again_but_damage_is_healed(running, front, tmp_path):
    bundle = write(tmp_path / "a")
    with connect(running.host) as registry:
        registry.push_bundle(bundle)
        registry.pull_bundle(tmp_path / "b")
    damaged = blob_file(tmp_path / "b", digest_of(BIG))
    damaged.write_bytes(BIG[:-1] + b"!")
    with connect(front.host) as registry:
        assert same(bundle, registry.pull_bundle(tmp_path / "b"))
    assert [line for line in front.seen if "/blobs/" in line] == [f"GET /v2/models/m/blobs/{digest_of(BIG)}"]


def test_a_bundle_is_extended_where_it_lies_and_the_one_before_stays(running, tmp_path):
    bundle = write(tmp_path / "a")
    with connect(running.host, "models/grow") as registry:
        registry.push_bundle(bundle)
        digest = registry.extend([segment("head")], "ready-1")
        again = registry.extend([Blob(media.SURFACE, b"{}")], "ready-2", "ready-1")
        grown = Registry(registry.reference.at(again), PLAIN).pull_bundle(tmp_path / "b")
        assert registry.manifest("latest").digest == bundle.digest
        assert registry.manifest("ready-1").digest == digest
    assert grown.base == bundle.digest
    assert same(grown, extend(bundle, [segment("head"), Blob(media.SURFACE, b"{}")]))


def test_an_artifact_holds_one_document(running):
    with connect(running.host, "models/art") as registry:
        registry.push_artifact(Blob(media.PROFILE, b'{"a": 1}'), media.PROFILE, "profile-1", {"tiersplit.tier": "edge"})
        assert registry.read_artifact(media.PROFILE, "profile-1") == b'{"a": 1}'
        assert registry.manifest("profile-1").document["annotations"] == {"tiersplit.tier": "edge"}
        with pytest.raises(BundleError, match="expected one"):
            registry.read_artifact(media.SURFACE, "profile-1")


def test_manifests_are_found_listed_and_deleted(running, tmp_path):
    bundle = write(tmp_path / "a")
    with connect(running.host, "models/tags") as registry:
        assert registry.tags() == ()
        for name in "abcde":
            registry.push_bundle(bundle, f"tag-{name}")
        assert registry.tags() == tuple(f"tag-{name}" for name in "abcde")
        assert "models/tags" in registry.repositories()
        found = registry.head("tag-a")
        assert found is not None
        assert (found.digest, found.media_type) == (bundle.digest, media.IMAGE_MANIFEST)
        registry.delete(bundle.digest)
        registry.delete(bundle.digest)
        assert registry.head("tag-a") is None


def test_a_list_of_several_pages_is_read_whole(front):
    names = [f"tag-{i}" for i in range(7)]

    def rule(method, path, headers):
        last = httpx.URL(path).params.get("last")
        rest = names[names.index(last) + 1 :] if last else names
        body = json.dumps({"name": "models/m", "tags": rest[:3]}).encode()
        link = [("Link", '</v2/models/m/tags/list>; rel="next"')] if len(rest) > 3 else []
        return Answer(200, [("Content-Length", str(len(body))), *link], body)

    front.before.append(rule)
    with connect(front.host) as registry:
        assert registry.tags() == tuple(names)
    assert len(front.seen) == 3


def test_a_large_blob_goes_in_several_requests(running, front):
    transport = Transport(front.host, "models/large", PLAIN)
    source = Source.of(BIG)
    Upload(transport, "models/large", source, chunk_bytes=300_000).run()
    assert sum(line.startswith("PATCH") for line in front.seen) == len(BIG) // 300_000
    with connect(running.host, "models/large") as registry:
        assert registry.read_blob(source.digest) == BIG
