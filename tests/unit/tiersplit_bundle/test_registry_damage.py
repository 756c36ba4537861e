"""What a registry or the way to it damages, cuts or invents is found out."""

import fcntl

import pytest

from tests.support.oci_registry import Answer, oci_registry, proxy
from tests.support.registry_bundles import BIG, PLAIN, connect, same, write
from tiersplit_bundle import media
from tiersplit_bundle.layout import Descriptor, blob_file, canonical_json, digest_of
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_core.errors import BundleError, OperationError


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def front(running):
    with proxy(running.host) as found:
        yield found


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
