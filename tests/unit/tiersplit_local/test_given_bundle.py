"""A bundle that the manifest names: where it comes from and what a run depends on."""

import pytest

from tests.support.oci_registry import free_port, oci_registry
from tests.support.small_cnn import small_cnn
from tiersplit_bundle import Blob, Bundle, extend, media
from tiersplit_bundle.access import PLAIN_HTTP, RegistryAccess
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_core.errors import BundleError, ManifestError, OperationError
from tiersplit_local.given_bundle import FIELD, given_bundle


@pytest.fixture
def running(tmp_path, monkeypatch):
    monkeypatch.setenv(PLAIN_HTTP, "true")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with oci_registry(tmp_path / "registry") as found:
        yield found


def push(host, bundle):
    with Registry(Reference(host, "models/small", "v1"), RegistryAccess(plain_http=True)) as registry:
        registry.push_bundle(bundle)


def test_a_bundle_of_a_registry_is_brought_here_and_a_changed_one_is_noticed(running, tmp_path):
    bundle = Bundle.open(small_cnn(tmp_path / "made"))
    push(running.host, bundle)
    told = []
    source = f"oci://{running.host}/models/small:v1"
    given = given_bundle(source, tmp_path / "split.yaml", told.append)
    given.bring(tmp_path / "here")
    assert Bundle.open(tmp_path / "here").digest == bundle.digest
    assert told[-1].startswith("import: pulled")
    assert given_bundle(source, tmp_path / "split.yaml", told.append).key == given.key
    push(running.host, extend(bundle, [Blob(media.STATISTICS, b"{}")]))
    assert given_bundle(source, tmp_path / "split.yaml", told.append).key != given.key


def test_a_bundle_that_is_not_there_is_a_mistake_in_the_manifest(running, tmp_path):
    with pytest.raises(ManifestError, match="push it with") as caught:
        given_bundle(f"oci://{running.host}/models/none:v1", tmp_path / "split.yaml", print)
    assert caught.value.path == FIELD
    with pytest.raises(BundleError, match="no reference") as caught:
        given_bundle("oci://nowhere", tmp_path / "split.yaml", print)
    assert caught.value.path == FIELD


def test_a_registry_that_is_down_is_no_mistake(running, tmp_path):
    with pytest.raises(OperationError, match="cannot be reached"):
        given_bundle(f"oci://127.0.0.1:{free_port()}/models/small:v1", tmp_path / "split.yaml", print)


def test_a_directory_is_copied(tmp_path):
    small_cnn(tmp_path / "made")
    given = given_bundle("made", tmp_path / "split.yaml", print)
    given.bring(tmp_path / "here")
    assert Bundle.open(tmp_path / "here").digest in given.key
