"""How a registry is named and reached, without one."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import Authority
from tests.support.oci_registry import oci_registry
from tiersplit_bundle.access import Credentials, RegistryAccess, read_credentials, registry_access
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_bundle.transport import backoff_s
from tiersplit_core.errors import BundleError, InputError, OperationError

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("oci://r.example/m", ("r.example", "m", None, None)),
        ("oci://r:5000/a/b-c/d_e:v1.2", ("r:5000", "a/b-c/d_e", "v1.2", None)),
        (f"oci://127.0.0.1:5000/m@{DIGEST}", ("127.0.0.1:5000", "m", None, DIGEST)),
        (f"oci://[::1]:5000/m:t@{DIGEST}", ("[::1]:5000", "m", "t", DIGEST)),
    ],
)
def test_a_reference_is_read_and_written_alike(text, parts):
    found = Reference.parse(text)
    assert (found.host, found.repository, found.tag, found.digest) == parts
    assert str(found) == text
    assert found.target == (parts[3] or parts[2])


WRONG = [
    "",
    "r/m",
    "https://r/m",
    "oci://r",
    "oci://r/",
    "oci://r/M",
    "oci://r/m:",
    "oci://r/m@sha256:12",
    "oci://r/../m",
]


@pytest.mark.parametrize(
    "text", [*WRONG, "oci://user:hunter2@r/m", "oci:///m", "oci://r/m:a:b", f"oci://r/{'m' * 2000}"]
)
def test_what_is_no_reference_is_refused_without_repeating_it(text):
    with pytest.raises(BundleError) as caught:
        Reference.parse(text, "spec.x")
    assert caught.value.path == "spec.x"
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_whatever_follows_the_scheme_is_a_reference_or_refused(text):
    try:
        found = Reference.parse(f"oci://{text}")
    except BundleError:
        return
    assert Reference.parse(str(found)) == found


@pytest.mark.parametrize("target", ["a b", "a/b", "", "sha256:12", "x" * 129])
def test_a_target_is_a_tag_or_a_digest(target):
    with pytest.raises(BundleError):
        Reference("r", "m").at(target)


def config(directory, entries):
    (directory / "config.json").write_text(json.dumps({"auths": entries}))
    return directory


def auth(user, password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_the_longest_entry_that_covers_a_repository_is_used(tmp_path):
    entries = {
        "r:5000": auth("a", "1"),
        "https://r:5000/team/": {"username": "b", "password": "2:3"},
        "r": auth("c", "4"),
    }
    config(tmp_path, {**entries, "https://old.example/v1/": auth("d", "5"), "t": {"identitytoken": "i"}})
    found = [
        read_credentials(tmp_path, host, repository)
        for host, repository in [
            ("r:5000", "m"),
            ("r:5000", "team/m"),
            ("r:5000", "teams"),
            ("old.example", "m"),
            ("t", "m"),
        ]
    ]
    assert found == [
        Credentials("a", "1"),
        Credentials("b", "2:3"),
        Credentials("a", "1"),
        Credentials("d", "5"),
        Credentials("", "", "i"),
    ]
    assert read_credentials(tmp_path, "other", "m") is None
    assert read_credentials(tmp_path / "nowhere", "r", "m") is None


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths": []}', '{"auths": {"r": {"auth": "hunter2="}}}', '{"auths": {"r": 5}}']
)
def test_a_damaged_configuration_is_named_and_not_shown(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_credentials(tmp_path, "r", "m")
    assert "hunter2" not in str(caught.value)


def test_access_comes_from_the_environment_and_what_is_said_wins(tmp_path):
    told = {"DOCKER_CONFIG": "/d", "TIERSPLIT_REGISTRY_PLAIN_HTTP": "true", "TIERSPLIT_REGISTRY_CA_FILE": "/ca"}
    found = registry_access(environment=told)
    assert (found.plain_http, str(found.ca_file), str(found.docker_config)) == (True, "/ca", "/d")
    assert registry_access(ca_file=tmp_path, environment=told).ca_file == tmp_path
    assert registry_access(environment={}).plain_http is False


@given(st.integers(1, 60), st.floats(0, 1))
def test_pauses_double_up_to_a_bound_and_are_spread(tried, chance):
    assert 0 < backoff_s(tried, chance) <= 5
    assert backoff_s(tried, 0.0) <= backoff_s(tried, chance) <= backoff_s(tried, 1.0) == 2 * backoff_s(tried, 0.0)


def test_a_registry_with_a_certificate_of_its_own_is_trusted_by_its_authority_alone(tmp_path):
    authority = Authority()
    pair = authority.issue("127.0.0.1")
    for name, data in (("ca.crt", authority.pem), ("tls.crt", pair.chain), ("tls.key", pair.key)):
        (tmp_path / name).write_bytes(data)
    with oci_registry(tmp_path / "r", certificate=(tmp_path / "tls.crt", tmp_path / "tls.key")) as running:
        reference = Reference(running.host, "m", "t")
        with Registry(reference, RegistryAccess(ca_file=tmp_path / "ca.crt")) as registry:
            digest = registry.push_blob(b"by TLS")
            assert registry.read_blob(digest) == b"by TLS"
        with (
            Registry(reference, RegistryAccess()) as registry,
            pytest.raises(OperationError, match="no TLS that is trusted"),
        ):
            registry.head()
        with (
            Registry(reference, RegistryAccess(plain_http=True)) as registry,
            pytest.raises(OperationError, match="400"),
        ):
            registry.head()


def test_a_registry_without_tls_says_how_to_ask_for_that(tmp_path):
    with oci_registry(tmp_path / "r") as running:
        asking = Registry(Reference(running.host, "m", "t"))
        with asking as registry, pytest.raises(OperationError, match="ask for plain HTTP"):
            registry.head()
