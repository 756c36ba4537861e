"""The operator's clients against a real API server and a real registry."""

import asyncio
import uuid

import pytest

from tests.support.oci_registry import oci_registry
from tests.support.operator_process import Namespace, push_profiled_bundle
from tiersplit_bundle import media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.writer import Blob
from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.clients.events import EventRecorder
from tiersplit_operator.clients.kubernetes import KubernetesClient
from tiersplit_operator.clients.registry import RegistryClient
from tiersplit_operator.clients.session import EndingError, RejectedError, Session, load_configuration
from tiersplit_operator.facts import Key, Owner
from tiersplit_operator.plan_outcome import ANNOTATION


@pytest.fixture
def namespace(api_server):
    name = f"test-{uuid.uuid4().hex[:8]}"
    api_server.kubectl("create", "namespace", name)
    return Namespace(api_server, name)


def with_client(namespace, monkeypatch, work, calls=None):
    """Run `work` with a client of the API server."""
    monkeypatch.setenv("KUBECONFIG", str(namespace.server.kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    async def main():
        configuration = await load_configuration()
        async with Session(configuration, (calls if calls is not None else []).append) as session:
            return await work(KubernetesClient(session))

    return asyncio.run(main())


def config_map(namespace, name="notes", **fields):
    about = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace.name}}
    return {**about, "data": {"a": "1"}, **fields}


def test_apply_owns_its_fields_leaves_others_and_changes_nothing_the_second_time(namespace, monkeypatch):
    calls = []

    async def work(api):
        first = await api.apply(config_map(namespace))
        again = await api.apply(config_map(namespace))
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        await api.merge("ConfigMap", namespace.name, "notes", {"data": {"a": "theirs", "b": "2"}})
        return (await api.apply(config_map(namespace)))["data"]

    assert with_client(namespace, monkeypatch, work, calls) == {"a": "1", "b": "2"}
    assert [(call.verb, call.kind, call.status) for call in calls][:1] == [("server_side_apply", "ConfigMap", 200)]


def test_a_stale_write_is_refused_and_a_missing_object_is_none(namespace, monkeypatch):
    async def work(api):
        made = await api.create(config_map(namespace))
        await api.merge("ConfigMap", namespace.name, "notes", {"data": {"a": "2"}})
        with pytest.raises(ConflictError):
            await api.replace_config_map(made)
        with pytest.raises(ConflictError):
            await api.create(config_map(namespace))
        return await api.get("ConfigMap", namespace.name, "nowhere")

    assert with_client(namespace, monkeypatch, work) is None


def test_only_the_object_of_that_uid_is_deleted_and_one_that_is_gone_is_fine(namespace, monkeypatch):
    async def work(api):
        made = await api.create(config_map(namespace))
        with pytest.raises(ConflictError):
            await api.delete("ConfigMap", namespace.name, "notes", str(uuid.uuid4()))
        for _ in range(2):
            await api.delete("ConfigMap", namespace.name, "notes", made["metadata"]["uid"])
        return await api.get("ConfigMap", namespace.name, "notes")

    assert with_client(namespace, monkeypatch, work) is None


def test_what_the_api_server_refuses_is_told_in_its_words(namespace, monkeypatch):
    async def work(api):
        await api.apply(config_map(namespace, name="Not A Name"))

    with pytest.raises(RejectedError, match="Not A Name"):
        with_client(namespace, monkeypatch, work)


def test_a_namespace_that_is_being_deleted_is_told_apart_from_what_is_refused_for_itself(namespace, monkeypatch):
    namespace.server.kubectl("delete", "namespace", namespace.name, "--wait=false")

    async def work(api):
        await api.apply(config_map(namespace))

    with pytest.raises(EndingError, match="terminated"):
        with_client(namespace, monkeypatch, work)


def test_lists_are_read_page_by_page(namespace, monkeypatch):
    monkeypatch.setattr("tiersplit_operator.clients.kubernetes.PAGE", 3)

    async def work(api):
        for i in range(8):
            await api.create(config_map(namespace, name=f"notes-{i}"))
        return await api.find("ConfigMap", namespace.name)

    names = {item["metadata"]["name"] for item in with_client(namespace, monkeypatch, work)}
    assert {f"notes-{i}" for i in range(8)} <= names


def test_events_are_made_and_counted(namespace, monkeypatch):
    owner, now = Owner(Key(namespace.name, "digits"), str(uuid.uuid4())), [0.0]

    async def work(api):
        recorder = EventRecorder(api, "one", clock=lambda: now[0])
        await recorder.tell(owner, "Planned", "3 plans")
        now[0] = 1000.0
        await recorder.tell(owner, "Planned", "3 plans")
        return await api.find("Event", namespace.name)

    (event,) = with_client(namespace, monkeypatch, work)
    assert (event["reason"], event["note"], event["series"]["count"]) == ("Planned", "3 plans", 2)


def test_a_token_names_its_pod_and_is_good_for_its_audience_alone(namespace, monkeypatch):
    namespace.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stage"}})
    container = {"name": "c", "image": "i.test/c:1"}
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"serviceAccountName": "stage", "containers": [container]},
        }
    )
    bound = ["--bound-object-kind=Pod", "--bound-object-name=p"]
    token = namespace.kubectl("create", "token", "stage", "--audience=tiersplit", *bound).strip()

    async def work(api):
        good = await api.review_token(token, "tiersplit")
        return good, await api.review_token(token, "another"), await api.review_token("no token", "tiersplit")

    good, another, none = with_client(namespace, monkeypatch, work)
    assert (good.namespace, good.pod, good.service_account) == (namespace.name, "p", "stage")
    assert another is None
    assert none is None


def test_an_api_server_that_is_not_there_is_an_error_within_the_time_limit(namespace, monkeypatch, tmp_path):
    text = namespace.server.kubeconfig.read_text().replace(namespace.server.url, "https://127.0.0.1:1")
    (tmp_path / "kubeconfig").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))

    async def main():
        async with Session(await load_configuration(), limit_s=2.0) as session:
            await KubernetesClient(session).get("ConfigMap", namespace.name, "notes")

    with pytest.raises(OperationError, match="does not answer"):
        asyncio.run(main())


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found.host


def test_an_artifact_says_what_decisions_need(host, tmp_path):
    reference = push_profiled_bundle(host, tmp_path / "bundle")
    client = RegistryClient(RegistryAccess(plain_http=True))

    async def main():
        found = await client.artifact(reference)
        graph = await client.blob(found.reference, found.graph, 2**20)
        bundle = await client.bundle(found.reference)
        return found, graph, bundle, await client.artifact(reference.replace(":v1", ":v9"))

    found, graph, bundle, missing = asyncio.run(main())
    assert set(found.profiles) == {"edge", "cloud"}
    assert b"conv1" in graph
    assert bundle.graph.layers[0].name == "conv1"
    assert missing is None
    client.close()
    assert not bundle.root.exists()


def test_layers_put_beside_a_bundle_are_seen_at_once_and_remembered(host, tmp_path):
    reference = push_profiled_bundle(host, tmp_path / "bundle")
    now = [0.0]
    client = RegistryClient(RegistryAccess(plain_http=True, attempts=1), clock=lambda: now[0])

    async def main():
        before = await client.artifact(reference)
        assert await client.artifact(f"oci://{before.repository}:plan-k") is None
        pushed = await client.extend(before.reference, [Blob(media.SURFACE, b"{}", {ANNOTATION: "settled"})], "plan-k")
        found = await client.artifact(f"oci://{before.repository}:plan-k")
        tags = await client.tags(reference)
        places = await client.repositories(f"{host}/tiersplit")
        return before, pushed, found, tags, places

    before, pushed, found, tags, places = asyncio.run(main())
    assert pushed == found
    assert (found.outcome, found.graph, found.profiles) == ("settled", before.graph, before.profiles)
    assert found.base == before.base
    assert tags["plan-k"] == found.digest
    assert f"oci://{before.repository}" in places


def test_a_registry_that_is_gone_is_an_error_once_its_answers_are_old(tmp_path):
    now = [0.0]
    client = RegistryClient(RegistryAccess(plain_http=True, attempts=1), clock=lambda: now[0])
    with oci_registry(tmp_path / "registry") as registry:
        reference = push_profiled_bundle(registry.host, tmp_path / "bundle")
        known = asyncio.run(client.artifact(reference))
    assert asyncio.run(client.artifact(reference)) == known
    now[0] = 301.0
    with pytest.raises(OperationError):
        asyncio.run(client.artifact(reference))
