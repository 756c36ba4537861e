"""Failures that pass are lived through, others are told; credentials reach their registry alone."""

import base64
import json
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.support.oci_registry import PASSWORD, USER, Answer, free_port, oci_registry, proxy
from tests.support.patience import PATIENCE_S, holds_in_one
from tests.support.registry_bundles import connect, same, write
from tiersplit_bundle.access import RegistryAccess
from tiersplit_core.errors import OperationError


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def front(running):
    with proxy(running.host) as found:
        yield found


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
    def given_up():
        started = time.monotonic()
        nobody = connect(f"127.0.0.1:{free_port()}", access=RegistryAccess(plain_http=True))
        with nobody as registry, pytest.raises(OperationError, match="cannot be reached"):
            registry.head()
        return time.monotonic() - started < 5

    assert holds_in_one(given_up)


def test_a_registry_that_says_nothing_is_an_error_within_its_time(front):
    given_up = threading.Event()

    def silence(*_):
        given_up.wait(PATIENCE_S)

    front.before.append(silence)
    access = RegistryAccess(plain_http=True, timeout_s=0.2, attempts=2)
    started = time.monotonic()
    with connect(front.host, access=access) as registry, pytest.raises(OperationError, match="connection to"):
        registry.head()
    given_up.set()
    assert time.monotonic() - started < PATIENCE_S / 2


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
