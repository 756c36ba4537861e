"""The registry client against a real registry, and against a proxy before it that misbehaves."""

import base64
import fcntl
import json
import time
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.oci_registry import PASSWORD, USER, Answer, free_port, oci_registry, proxy
from tiersplit_bundle import Blob, Bundle, BundleWriter, extend, media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.layout import Descriptor, blob_file, canonical_json, digest_of
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_bundle.transfer import Source, Upload
from tiersplit_bundle.transport import Transport
from tiersplit_core.errors import BundleError, OperationError

PLAIN = RegistryAccess(plain_http=True, timeout_s=5, attempts=4)
BIG = bytes(range(256)) * 8192  # 2 MiB: several pieces


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def front(running):
    with proxy(running.host) as found:
        yield found


def connect(host, repository="models/m", tag="latest", access=PLAIN):
    return Registry(Reference(host, repository, tag), access)


def write(path: Path, weights=(BIG, b"second")) -> Bundle:
    with BundleWriter(path) as writer:
        writer.configure({"format": 1, "name": "m"})
        writer.add(Blob(media.GRAPH, b'{"graph": true}'))
        writer.add(Blob(media.MODEL, b"model"))
        writer.add(Blob(media.GOLDEN, b"golden"))
        for data in weights:
            writer.add(Blob(media.WEIGHTS, data))
    return Bundle.open(path)


def segment(name, weights=()):
    about = {"layers": [name], "inputs": ["input"], "outputs": [name], "weights": list(weights)}
    data = f"segment {name}".encode()
    annotations = {media.SEGMENT_ID: name, media.SEGMENT_ABOUT: canonical_json(about).decode()}
    return Blob(media.SEGMENT, data, annotations)


def same(first: Bundle, second: Bundle) -> bool:
    names = [entry.digest for entry in first.layers]
    return first.manifest == second.manifest and all(first.read(name) == second.read(name) for name in names)


# Round trips


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


# Damage


def tampered(position):
    def rule(method, path, answer, headers):
        if method == "GET" and "/blobs/" in path and len(answer.body) == len(BIG):
            data = bytearray(answer.body)
            data[position] ^= 1
            return Answer(answer.status, answer.headers, bytes(data))
        return answer

    return rule


@pytest.mark.parametrize("position", [0, len(BIG) // 2, len(BIG) - 1])
def test_a_flipped_bit_is_refused_by_the_blobs_name_and_leaves_no_file(running, front, tmp_path, position):
    with connect(running.host) as registry:
        registry.push_bundle(write(tmp_path / "a"))
    front.rules.append(tampered(position))
    with connect(front.host) as registry, pytest.raises(BundleError, match="do not have this digest") as caught:
        registry.pull_bundle(tmp_path / "b")
    assert caught.value.path == digest_of(BIG)
    assert not blob_file(tmp_path / "b", digest_of(BIG)).exists()
    assert not (tmp_path / "b" / "index.json").exists()


def test_a_manifest_with_another_digest_is_refused(running, front, tmp_path):
    bundle = write(tmp_path / "a")
    with connect(running.host) as registry:
        registry.push_bundle(bundle)

    def rule(method, path, answer, headers):
        if "/manifests/" not in path:
            return answer
        body = answer.body.replace(b'"m"', b'"n"') + b" "
        return Answer(
            200,
            [*((k, v) for k, v in answer.headers if k != "Content-Length"), ("Content-Length", str(len(body)))],
            body,
        )

    front.rules.append(rule)
    named = Registry(Reference(front.host, "models/m", None, bundle.digest), PLAIN)
    with named as registry, pytest.raises(BundleError, match="does not have this digest"):
        registry.manifest()


def cut_answers(pieces):
    """The first answers with the big blob end after so many bytes."""

    def rule(method, path, answer, headers):
        if method == "GET" and path.endswith(digest_of(BIG)) and pieces:
            answer.cut_after = pieces.pop(0)
        return answer

    return rule


def test_a_broken_transfer_goes_on_where_it_broke(running, front, tmp_path):
    with connect(running.host) as registry:
        registry.push_bundle(write(tmp_path / "a"))
    front.rules.append(cut_answers([500_000, 300_000, 7]))
    with connect(front.host) as registry:
        registry.pull_blob(Descriptor(media.WEIGHTS, digest_of(BIG), len(BIG)), tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == BIG
    starts = [int(headers["range"][6:-1]) for headers in front.headers if "range" in headers]
    assert len(starts) == 3
    assert starts == sorted(set(starts))
    assert starts[0] > 0


def test_a_transfer_goes_on_in_another_process(running, front, tmp_path):
    with connect(running.host) as registry:
        registry.push_bundle(write(tmp_path / "a"))
    entry = Descriptor(media.WEIGHTS, digest_of(BIG), len(BIG))
    (tmp_path / ".blob.part").write_bytes(BIG[:1_000_000])
    with connect(front.host) as registry:
        registry.pull_blob(entry, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == BIG
    assert front.headers[-1]["range"] == "bytes=1000000-"


def test_what_an_earlier_process_left_damaged_is_fetched_again(running, tmp_path):
    with connect(running.host) as registry:
        registry.push_bundle(write(tmp_path / "a"))
        for left in (b"x" * 1_000_000, b"y" * len(BIG), BIG + b"z"):
            (tmp_path / ".blob.part").write_bytes(left)
            registry.pull_blob(Descriptor(media.WEIGHTS, digest_of(BIG), len(BIG)), tmp_path / "blob")
            assert (tmp_path / "blob").read_bytes() == BIG
            (tmp_path / "blob").unlink()


def test_two_processes_may_fetch_the_same_blob(running, tmp_path):
    with connect(running.host) as registry:
        registry.push_bundle(write(tmp_path / "a"))
        with (tmp_path / ".blob.part").open("wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            registry.pull_blob(Descriptor(media.WEIGHTS, digest_of(BIG), len(BIG)), tmp_path / "blob")
            assert other.tell() == 0
    assert (tmp_path / "blob").read_bytes() == BIG


# Failures that pass


def test_failures_that_pass_are_tried_again(running, front, tmp_path):
    failing = iter([503, 500, 429, 502] * 2)

    def rule(method, path, headers):
        status = next(failing, None) if len(front.seen) % 2 else None
        return None if status is None else Answer(status, [("Content-Length", "0"), ("Retry-After", "0")], b"")

    front.before.append(rule)
    bundle = write(tmp_path / "a")
    with connect(front.host, "models/flaky") as registry:
        registry.push_bundle(bundle)
        assert same(bundle, registry.pull_bundle(tmp_path / "b"))
    assert next(failing, None) is None


def test_dropped_connections_are_tried_again(running, front, tmp_path):
    dropped = set()

    def rule(method, path, answer, headers):
        """The answer to each request is lost once."""
        url = httpx.URL(path)
        request = (method, url.params.get("digest", url.path))
        known = request in dropped
        dropped.add(request)
        return answer if known else None

    front.rules.append(rule)
    bundle = write(tmp_path / "a")
    with connect(front.host, "models/dropped") as registry:
        registry.push_bundle(bundle)
        assert same(bundle, registry.pull_bundle(tmp_path / "b"))
    assert {method for method, _ in dropped} == {"GET", "HEAD", "POST", "PUT"}


def test_a_failure_that_stays_is_an_error_with_the_registrys_name(front):
    front.before.append(lambda *_: Answer(503, [("Content-Length", "0")], b""))
    with connect(front.host) as registry, pytest.raises(OperationError, match="answers 503; given up after 4 tries"):
        registry.head()
    assert len(front.seen) == 4


def test_a_registry_that_is_down_is_an_error_within_seconds():
    started = time.monotonic()
    nobody = connect(f"127.0.0.1:{free_port()}", access=RegistryAccess(plain_http=True))
    with nobody as registry, pytest.raises(OperationError, match="cannot be reached"):
        registry.head()
    assert time.monotonic() - started < 5


def test_a_registry_that_says_nothing_is_an_error_within_its_time(front):
    front.before.append(lambda *_: time.sleep(1.5))
    access = RegistryAccess(plain_http=True, timeout_s=0.2, attempts=2)
    started = time.monotonic()
    with connect(front.host, access=access) as registry, pytest.raises(OperationError, match="connection to"):
        registry.head()
    assert time.monotonic() - started < 2


# What is wrong


def test_a_blob_that_the_registry_lost_is_named(running, front, tmp_path):
    with connect(running.host, "models/lost") as registry:
        registry.push_bundle(write(tmp_path / "a", (b"only here",)))
        running.blob_file(digest_of(b"only here")).unlink()
        with pytest.raises(BundleError, match="does not hold this blob") as caught:
            registry.pull_bundle(tmp_path / "b")
    assert caught.value.path == digest_of(b"only here")


def test_a_manifest_that_is_not_there_is_named(running):
    with connect(running.host, "models/none") as registry:
        assert registry.head() is None
        with pytest.raises(BundleError, match="no such manifest") as caught:
            registry.manifest()
    assert caught.value.path == f"oci://{running.host}/models/none:latest"


def push_foreign(registry, change):
    """A manifest that is no bundle's under the tag `foreign`."""
    config, layer = registry.push_blob(b"{}"), registry.push_blob(b"layer")
    value = {
        "schemaVersion": 2,
        "mediaType": media.IMAGE_MANIFEST,
        "artifactType": media.ARTIFACT,
        "config": {"mediaType": media.CONFIG, "digest": config, "size": 2},
        "layers": [{"mediaType": media.WEIGHTS, "digest": layer, "size": 5}],
    }
    change(value)
    return registry.push_manifest(canonical_json(value), "foreign")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.update(artifactType="application/x-else"), "is no application/vnd.tiersplit.bundle"),
        (lambda value: value["layers"][0].update(mediaType="application/x-else"), "no media type of a bundle"),
        (
            lambda value: value["config"].update(mediaType="application/x-else"),
            "is no application/vnd.tiersplit.config",
        ),
    ],
)
def test_what_is_no_bundle_is_refused_before_anything_is_fetched(running, front, tmp_path, change, reason):
    with connect(running.host, "models/foreign") as registry:
        push_foreign(registry, change)
    with connect(front.host, "models/foreign", "foreign") as registry, pytest.raises(BundleError, match=reason):
        registry.pull_bundle(tmp_path / "b")
    assert not [line for line in front.seen if "/blobs/" in line]


def test_a_size_that_lies_is_refused(running, tmp_path):
    with connect(running.host, "models/lies", "foreign") as registry:
        push_foreign(registry, lambda value: value["layers"][0].update(size=4))
        with pytest.raises(BundleError, match="sends more than its 4 bytes"):
            registry.pull_bundle(tmp_path / "b")


@pytest.mark.parametrize(("size", "error"), [(2**62, "expected a size"), (60 * 2**30, "give the cache more room")])
def test_a_huge_declared_size_is_refused_before_anything_is_fetched(running, front, tmp_path, size, error, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2**30})())
    with connect(running.host, "models/huge") as registry:
        push_foreign(registry, lambda value: value["layers"][0].update(size=size))
    asking = connect(front.host, "models/huge", "foreign")
    with asking as registry, pytest.raises((BundleError, OperationError), match=error):
        registry.pull_bundle(tmp_path / "b")
    assert not [line for line in front.seen if "/blobs/" in line]


def test_an_endless_answer_is_cut_off(front):
    front.before.append(lambda *_: Answer(200, [("Content-Length", str(2**40))], b"x" * (17 * 2**20)))
    with connect(front.host) as registry, pytest.raises(BundleError, match="larger than"):
        registry.manifest()


def test_an_interrupted_push_leaves_the_old_bundle_under_its_tag(running, front, tmp_path):
    old, new = write(tmp_path / "a", (b"old",)), write(tmp_path / "b", (b"new", BIG))

    def refuse(method, path, headers):
        return Answer(400, [("Content-Length", "0")], b"") if method == "PUT" and "digest" in path else None

    with connect(running.host, "models/interrupted") as registry:
        registry.push_bundle(old)
    front.before.append(refuse)
    with connect(front.host, "models/interrupted") as registry, pytest.raises(OperationError, match="400"):
        registry.push_bundle(new)
    with connect(running.host, "models/interrupted") as registry:
        assert registry.manifest().digest == old.digest
        assert same(old, registry.pull_bundle(tmp_path / "c"))


def test_a_manifest_whose_blobs_are_missing_is_not_taken(running):
    with connect(running.host, "models/half") as registry:
        value = {
            "schemaVersion": 2,
            "mediaType": media.IMAGE_MANIFEST,
            "config": {"mediaType": media.CONFIG, "digest": "sha256:" + "0" * 64, "size": 2},
            "layers": [],
        }
        with pytest.raises(OperationError, match="MANIFEST"):
            registry.push_manifest(canonical_json(value), "half")
        assert registry.head("half") is None


# Who asks


def docker_config(directory: Path, host, password=PASSWORD, name="config.json") -> Path:
    directory.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (directory / name).write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return directory


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("locked"), password=True) as found:
        yield found


@pytest.mark.parametrize("name", ["config.json", ".dockerconfigjson"])
def test_credentials_come_from_dockers_configuration(locked, tmp_path, name):
    access = RegistryAccess(plain_http=True, docker_config=docker_config(tmp_path / "docker", locked.host, name=name))
    bundle = write(tmp_path / "a")
    with connect(locked.host, access=access) as registry:
        registry.push_bundle(bundle)
        assert same(bundle, registry.pull_bundle(tmp_path / "b"))


def test_wrong_credentials_are_an_error_that_shows_nothing_of_them(locked, tmp_path):
    access = RegistryAccess(plain_http=True, docker_config=docker_config(tmp_path, locked.host, "s3cret"))
    with connect(locked.host, access=access) as registry, pytest.raises(OperationError) as caught:
        registry.head()
    assert "refuses" in str(caught.value)
    assert locked.host in str(caught.value)
    assert "s3cret" not in repr(caught.value) + repr(access)


def test_missing_credentials_say_what_to_write(locked):
    with connect(locked.host) as registry, pytest.raises(OperationError, match=r"write auths\[127"):
        registry.head()


def test_a_token_is_fetched_for_a_challenge_and_used_again(running, front, tmp_path):
    def rule(method, path, headers):
        if path.startswith("/token"):
            known = headers.get("authorization", "").startswith("Basic ")
            body = json.dumps({"token": "t1"} if known else {}).encode()
            return Answer(200, [("Content-Length", str(len(body)))], body)
        if headers.get("authorization") == "Bearer t1":
            return None
        challenge = f'Bearer realm="http://{front.host}/token",service="r",scope="repository:models/m:pull,push"'
        return Answer(401, [("Content-Length", "0"), ("WWW-Authenticate", challenge)], b"")

    front.before.append(rule)
    access = RegistryAccess(plain_http=True, docker_config=docker_config(tmp_path / "docker", front.host))
    bundle = write(tmp_path / "a")
    with connect(front.host, access=access) as registry:
        registry.push_bundle(bundle)
        assert same(bundle, registry.pull_bundle(tmp_path / "b"))
    asked = [line for line in front.seen if "/token" in line]
    assert 2 <= len(asked) <= 1 + access.parallel * 2
    assert httpx.URL(asked[0].split()[1]).params["scope"] == "repository:models/m:pull,push"


def test_another_host_is_not_told_who_asks(running, front, tmp_path):
    with connect(running.host) as registry:
        registry.push_bundle(write(tmp_path / "a"))
    with proxy(running.host) as store:

        def rule(method, path, headers):
            if "authorization" not in headers:
                return Answer(401, [("Content-Length", "0"), ("WWW-Authenticate", 'Basic realm="r"')], b"")
            if "/blobs/" in path:
                return Answer(307, [("Content-Length", "0"), ("Location", f"http://{store.host}{path}?signed=1")], b"")
            return None

        front.before.append(rule)
        access = RegistryAccess(plain_http=True, docker_config=docker_config(tmp_path / "docker", front.host))
        with connect(front.host, access=access) as registry:
            registry.pull_bundle(tmp_path / "b")
        assert store.seen
        assert not [headers for headers in store.headers if "authorization" in headers]
