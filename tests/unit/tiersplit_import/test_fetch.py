"""Files named by URI: https from a real server with its own authority, s3 from a real S3-like server, claims, paths."""

import hashlib
import os

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.file_server import BUCKET, file_server, s3_server
from tests.support.oci_registry import Answer, free_port, proxy
from tiersplit_core.errors import ManifestError, OperationError
from tiersplit_import.fetch import Limits, fetch, shown

DATA = os.urandom(3_000_000)
FIELD = "spec.model.source.onnxUri"
QUICK = Limits(attempts=3, pause_s=0.01, stall_s=60)


@pytest.fixture
def server(tmp_path, monkeypatch):
    with file_server(tmp_path, DATA) as found:
        monkeypatch.setenv("SSL_CERT_FILE", str(found.ca_file))
        yield found


def get(uri, tmp_path, limits=QUICK, **options):
    return fetch(uri, tmp_path / "got" / "model.onnx", FIELD, limits, **options)


def nothing_is_left(tmp_path):
    return not list((tmp_path / "got").iterdir())


# https


def test_a_file_is_fetched_by_https_with_its_digest(server, tmp_path):
    told = []
    found = get(server.url, tmp_path, say=told.append)
    assert found.path.read_bytes() == DATA
    assert (found.size, found.digest) == (len(DATA), f"sha256:{hashlib.sha256(DATA).hexdigest()}")
    assert told[0].startswith("fetching https://127.0.0.1")
    assert [path.name for path in found.path.parent.iterdir()] == ["model.onnx"]


def test_a_broken_transfer_goes_on_where_it_broke(server, tmp_path):
    server.cut_after = [700_000, 900_000]
    assert get(server.url, tmp_path).path.read_bytes() == DATA
    assert len(server.starts) == 3
    assert 0 < server.starts[1] <= 700_000 < server.starts[2] <= 1_600_000


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(server, tmp_path):
    server.cut_after = [700_000]
    changed = os.urandom(len(DATA))

    def rule(headers, number):
        if number == 2:
            server.data, server.etag = changed, '"v2"'

    server.rule = rule
    assert get(server.url, tmp_path).path.read_bytes() == changed


@pytest.mark.parametrize("how", [{"ranges": False}, {"etag": ""}, {"etag": 'W/"weak"'}])
def test_a_server_that_cannot_go_on_is_read_again_from_the_beginning(server, tmp_path, how):
    for name, value in how.items():
        setattr(server, name, value)
    server.cut_after = [700_000]
    assert get(server.url, tmp_path).path.read_bytes() == DATA


@pytest.mark.parametrize("status", [429, 500, 503])
def test_failures_that_pass_are_tried_again(server, tmp_path, status):
    server.rule = lambda headers, number: status if number < 3 else None
    assert get(server.url, tmp_path).path.read_bytes() == DATA


def test_a_failure_that_stays_is_an_error_that_may_pass(server, tmp_path):
    server.rule = lambda headers, number: 503
    with pytest.raises(OperationError, match="answers 503; given up after 3 tries"):
        get(server.url, tmp_path)
    assert nothing_is_left(tmp_path)


def test_a_server_that_is_down_is_an_error_that_may_pass(tmp_path):
    with pytest.raises(OperationError, match="given up after 3 tries"):
        get(f"https://127.0.0.1:{free_port()}/model.onnx", tmp_path)


def test_a_missing_file_is_a_mistake_in_the_manifest(server, tmp_path):
    server.rule = lambda headers, number: 404
    with pytest.raises(ManifestError, match="there is no https") as caught:
        get(server.url, tmp_path)
    assert caught.value.path == FIELD


def test_a_refusal_says_what_to_give_and_shows_no_secret(server, tmp_path):
    server.rule = lambda headers, number: 403
    address = server.url.replace("https://", "https://user:hunter2@") + "?signature=s3cret"
    with pytest.raises(OperationError, match="answered with 403; sign the address") as caught:
        get(address, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(OperationError, match="not trusted; name its authority by SSL_CERT_FILE"):
        get(server.url, tmp_path)


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/model.onnx", "file:///etc/passwd"])
def test_no_redirect_leaves_tls(server, tmp_path, target):
    server.rule = lambda headers, number: (302, target)
    with pytest.raises(OperationError, match="without TLS"):
        get(server.url, tmp_path)


def test_a_redirect_to_https_is_followed(server, tmp_path):
    server.rule = lambda headers, number: (302, server.url) if number == 1 else None
    assert get(server.url, tmp_path).size == len(DATA)


def test_a_file_that_is_too_large_is_refused_before_it_comes(server, tmp_path):
    with pytest.raises(ManifestError, match="more than the 976"):
        get(server.url, tmp_path, Limits(max_bytes=1_000_000))
    assert nothing_is_left(tmp_path)


def test_a_file_that_turns_out_too_large_is_refused_while_it_comes(server, tmp_path):
    server.length = False
    with pytest.raises(ManifestError, match="more than"):
        get(server.url, tmp_path, Limits(max_bytes=1_000_000))
    assert nothing_is_left(tmp_path)


def test_a_file_without_a_told_size_is_fetched(server, tmp_path):
    server.length = False
    assert get(server.url, tmp_path).size == len(DATA)


# s3


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as host:
        for key, data in (("deep/model.onnx", DATA), ("deep/empty.onnx", b"")):
            httpx.put(f"http://{host}/{BUCKET}/{key}", content=data).raise_for_status()
        yield host


@pytest.fixture
def credentials(monkeypatch):
    def use(host):
        values = {"AWS_ENDPOINT_URL": f"http://{host}", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hunter2"}
        for name, value in {**values, "AWS_REGION": "us-east-1"}.items():
            monkeypatch.setenv(name, value)

    return use


@pytest.mark.parametrize(("key", "data"), [("deep/model.onnx", DATA), ("deep/empty.onnx", b"")])
def test_a_file_is_fetched_from_a_bucket(bucket, credentials, tmp_path, key, data):
    credentials(bucket)
    found = get(f"s3://{BUCKET}/{key}", tmp_path)
    assert found.path.read_bytes() == data
    assert found.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_key_that_is_not_there_is_a_mistake_in_the_manifest(bucket, credentials, tmp_path):
    credentials(bucket)
    with pytest.raises(ManifestError, match=f"there is no s3://{BUCKET}/other"):
        get(f"s3://{BUCKET}/other", tmp_path)


def test_a_bucket_that_fails_now_and_then_is_read_to_the_end(bucket, credentials, tmp_path, monkeypatch):
    monkeypatch.setattr("tiersplit_import.remote._PART_BYTES", 700_000)
    failing = {1, 3, 6}
    with proxy(bucket) as front:
        front.before.append(
            lambda *_: Answer(503, [("Content-Length", "0")], b"") if len(front.seen) in failing else None
        )
        credentials(front.host)
        assert get(f"s3://{BUCKET}/deep/model.onnx", tmp_path).path.read_bytes() == DATA
        served = [headers["range"] for headers in front.headers if "range" in headers]
    assert len(set(served)) == -(-len(DATA) // 700_000)


def test_an_object_that_changed_meanwhile_is_fetched_from_its_beginning(bucket, credentials, tmp_path, monkeypatch):
    monkeypatch.setattr("tiersplit_import.remote._PART_BYTES", 700_000)
    address, changed = f"http://{bucket}/{BUCKET}/changing.onnx", os.urandom(len(DATA))
    httpx.put(address, content=DATA).raise_for_status()

    def rule(*_):
        if len(front.seen) == 3:
            httpx.put(address, content=changed).raise_for_status()

    with proxy(bucket) as front:
        front.before.append(rule)
        credentials(front.host)
        assert get(f"s3://{BUCKET}/changing.onnx", tmp_path).path.read_bytes() == changed


def test_a_bucket_that_refuses_names_the_variables(bucket, credentials, tmp_path):
    with proxy(bucket) as front:
        front.before.append(lambda *_: Answer(403, [("Content-Length", "0")], b""))
        credentials(front.host)
        with pytest.raises(OperationError, match="AWS_ACCESS_KEY_ID") as caught:
            get(f"s3://{BUCKET}/deep/model.onnx", tmp_path)
    assert "hunter2" not in str(caught.value)


def test_keys_come_from_a_shared_credentials_file(bucket, credentials, tmp_path, monkeypatch):
    with proxy(bucket) as front:
        credentials(front.host)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        file = tmp_path / "credentials"
        file.write_text("[default]\naws_access_key_id = ours\naws_secret_access_key = hunter2\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        get(f"s3://{BUCKET}/deep/model.onnx", tmp_path)
        assert all("Credential=ours/" in headers["authorization"] for headers in front.headers)


def test_an_object_that_is_too_large_is_refused(bucket, credentials, tmp_path):
    credentials(bucket)
    with pytest.raises(ManifestError, match="more than"):
        get(f"s3://{BUCKET}/deep/model.onnx", tmp_path, Limits(max_bytes=1000))


# Claims and paths


def test_a_claims_file_is_read_where_it_is_mounted(tmp_path):
    (tmp_path / "models" / "a").mkdir(parents=True)
    (tmp_path / "models" / "a" / "m.onnx").write_bytes(b"model")
    found = get("pvc://models/a/m.onnx", tmp_path, volumes=tmp_path)
    assert (found.path, found.size) == (tmp_path / "models" / "a" / "m.onnx", 5)


@pytest.mark.parametrize(
    "uri",
    ["pvc://models", "pvc://models/", "pvc:///m.onnx", "pvc://models/../x", "pvc://../x", "pvc://models//etc/passwd"],
)
def test_a_claim_is_not_left(tmp_path, uri):
    (tmp_path / "models").mkdir()
    with pytest.raises(ManifestError, match="write pvc://claim/path"):
        get(uri, tmp_path, volumes=tmp_path)


@given(st.text(max_size=30))
def test_whatever_is_written_behind_a_claim_stays_inside_or_is_refused(tmp_path_factory, rest):
    root = tmp_path_factory.getbasetemp()
    (root / "claim").mkdir(exist_ok=True)
    with pytest.raises((ManifestError, OperationError)):
        fetch(f"pvc://claim/{rest}", root / "x", FIELD, volumes=root)


def test_a_link_out_of_a_claim_is_refused(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.onnx").symlink_to("/etc/hostname")
    with pytest.raises(ManifestError, match="leaves the claim"):
        get("pvc://models/m.onnx", tmp_path, volumes=tmp_path)


def test_a_claim_that_is_not_mounted_may_come(tmp_path):
    with pytest.raises(OperationError, match="not mounted"):
        get("pvc://models/m.onnx", tmp_path, volumes=tmp_path)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_path_stays_where_it_is(tmp_path, prefix):
    (tmp_path / "m.onnx").write_bytes(b"model")
    assert get(f"{prefix}{tmp_path}/m.onnx", tmp_path).path == tmp_path / "m.onnx"
    with pytest.raises(ManifestError, match="there is no file"):
        get(f"{prefix}{tmp_path}/other.onnx", tmp_path)


@pytest.mark.parametrize(
    "uri",
    ["http://h/m", "ftp://h/m", "gs://b/m", "https://h", "s3://bucket", "https:///m", "https://[x/m", "file://[x/m"],
)
def test_other_addresses_are_refused_with_what_to_write(tmp_path, uri):
    with pytest.raises(ManifestError) as caught:
        get(uri, tmp_path)
    assert caught.value.path == FIELD


def test_what_is_shown_of_an_address_is_no_secret():
    assert shown("https://u:p@host:1/path?sig=x#y") == "https://host:1/path"
