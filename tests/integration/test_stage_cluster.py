"""Stages as pods run them: probes, routes from a mount, blobs from a registry, and stops that cost no request."""

import contextlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from tests.support.cluster_stages import (
    MODEL,
    NAMESPACE,
    MountedRoute,
    Service,
    kept_blobs,
    probe,
    push_model,
    wait_probe,
)
from tests.support.oci_registry import free_port, oci_registry
from tests.support.patience import PATIENCE_S, START_S
from tests.support.stages import Controller, StageProcess, TinyModel, wait_for
from tiersplit_core.errors import UnavailableError
from tiersplit_wire.client import InferenceClient, reply_of, request_of
from tiersplit_wire.v1 import inference_pb2_grpc

PAIR = ("edge", "cloud")
PLANS = ("000", "011")
SLOW_TO_LEAVE = ("--drain-wait-s", "5")
"""So long a stage answers after it was told to stop, and the test has time to see that."""


class Pods:
    """An edge and a cloud pod with caches of their own, and what they are given."""

    def __init__(self, folder):
        self.folder, self.model = folder, TinyModel(folder / "bundle")
        self.mount = MountedRoute(folder / "route")
        self.running, self.bundle = {}, ""

    def start(self, tier, *extra, controller="", cached=True):
        cache = ["--bundle-cache", str(self.cache(tier)), "--registry-plain-http"] if cached else []
        flags = ["--namespace", NAMESPACE, "--instance", f"{tier}-pod", "--node", f"{tier}-node"]
        flags += ["--health", "127.0.0.1:0", "--route-file", str(self.mount.path), "--drain-wait-s", "2.0"]
        stage = StageProcess(
            tier, self.model.bundle, self.folder, controller, *flags, *cache, *extra, head=tier == PAIR[0]
        )
        self.running.setdefault(tier, []).append(stage)
        return stage

    def cache(self, tier):
        return self.folder / f"cache-{tier}"

    def route(self, epoch, plans, selected, **endpoints):
        fallback = "000" if "000" in plans else ""
        made = self.model.route(epoch, plans, selected, endpoints, tiers=PAIR, fallback=fallback)
        made.bundle = self.bundle
        return made

    def publish(self, epoch, plans, selected, cloud):
        self.mount.put(self.route(epoch, plans, selected, cloud=[cloud]).SerializeToString())

    def ask(self, address, seed=0):
        x = np.random.default_rng(seed).normal(size=(2, 4)).astype(np.float32)
        with InferenceClient(address) as client:
            reply = client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S)
        np.testing.assert_allclose(reply.outputs["scores"], self.model.reference(x)["scores"], rtol=1e-4, atol=1e-5)
        return reply.parameters["plan"]

    def close(self):
        for stage in (stage for stages in self.running.values() for stage in stages):
            stage.stop()


@pytest.fixture
def pods(tmp_path):
    made = Pods(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def registry(tmp_path):
    with oci_registry(tmp_path / "registry") as running:
        yield running


def health_of(stage):
    return stage.said["health_address"]


def test_probes_tell_liveness_from_the_start_and_readiness_from_the_first_plan_that_serves(pods):
    cloud = pods.start("cloud", cached=False)
    edge = pods.start("edge", *SLOW_TO_LEAVE, cached=False)
    for stage in (cloud, edge):
        assert probe(health_of(stage), "liveness") == "SERVING"
        assert {probe(health_of(stage), name) for name in ("", "readiness")} == {"NOT_SERVING"}
    pods.publish(1, ["011"], "011", cloud.address)
    for stage in (cloud, edge):
        wait_probe(health_of(stage), "readiness", "SERVING")
    assert pods.ask(edge.client_address) == "011"
    edge.process.terminate()
    wait_probe(health_of(edge), "readiness", "NOT_SERVING")
    assert probe(health_of(edge), "liveness") == "SERVING"
    assert pods.ask(edge.client_address) == "011"  # it still answers while everybody takes note
    assert edge.process.wait(PATIENCE_S) == 0


@contextlib.contextmanager
def computing(pods, stage):
    """One request after the other meanwhile, however many find no plan that serves yet."""
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            with contextlib.suppress(UnavailableError):
                pods.ask(stage.client_address)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        try:
            yield
        finally:
            stop.set()
            asked.result()


def test_a_compute_thread_that_hangs_fails_liveness_until_it_moves_again(pods):
    edge = pods.start("edge", "--slowdown", "10000", "--stuck-s", "0.05", cached=False)
    pods.publish(1, ["000"], "000", "127.0.0.1:1")
    with computing(pods, edge):
        wait_probe(health_of(edge), "liveness", "NOT_SERVING")
    wait_probe(health_of(edge), "readiness", "SERVING", START_S)
    wait_probe(health_of(edge), "liveness", "SERVING")


def test_a_stop_costs_clients_that_know_nothing_of_it_no_request(pods):
    pods.publish(1, ["000"], "000", "127.0.0.1:1")
    first = pods.start("edge", *SLOW_TO_LEAVE, cached=False)
    wait_probe(health_of(first), "readiness", "SERVING")
    service = Service(first.client_address)
    stop, answered, failed = threading.Event(), [], []

    def client(seed):
        x = np.full((1, 4), seed, np.float32)
        with grpc.insecure_channel(service.address) as channel:
            stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            while not stop.is_set():
                try:
                    reply = reply_of(stub.ModelInfer(request_of(MODEL, {"image": x}), timeout=PATIENCE_S))
                    expected = pods.model.reference(x)["scores"]
                    answered.append(np.allclose(reply.outputs["scores"], expected, rtol=1e-4, atol=1e-5))
                except grpc.RpcError as error:
                    failed.append(f"{error.code()}: {error.details()}")

    try:
        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(client, seed) for seed in range(4)]
            current = first
            for _ in range(3):
                following = pods.start("edge", *SLOW_TO_LEAVE, cached=False)
                wait_probe(health_of(following), "readiness", "SERVING")
                current.process.terminate()
                service.target = following.client_address  # as endpoints change once a pod terminates
                assert current.process.wait(PATIENCE_S) == 0
                current, seen = following, len(answered)
                wait_for(lambda seen=seen: len(answered) > seen + 20, what="the next pod answers")
            stop.set()
            for done in clients:
                done.result()
    finally:
        stop.set()
        service.close()
    assert failed == []
    assert all(answered)


def test_a_mounted_route_is_taken_when_it_changes_and_never_backwards(pods):
    cloud, edge = pods.start("cloud", cached=False), pods.start("edge", cached=False)
    pods.publish(2, PLANS, "011", cloud.address)
    wait_for(lambda: ready(edge) and pods.ask(edge.client_address) == "011", what="the first route serves")
    pods.publish(3, PLANS, "000", cloud.address)
    wait_for(lambda: pods.ask(edge.client_address) == "000", what="the second route serves")
    pods.mount.put(b"\xff garbage")
    wait_for(lambda: "holds no route" in edge.log.read_text(), what="garbage was passed over")
    pods.publish(1, PLANS, "011", cloud.address)
    wait_for(lambda: "the route of epoch 1 is refused" in edge.log.read_text(), what="the older route was refused")
    assert pods.ask(edge.client_address) == "000"


def ready(stage):
    return probe(health_of(stage), "readiness") == "SERVING"


def test_each_tier_pulls_what_it_needs_and_starts_again_with_registry_and_controller_gone(pods, registry):
    pods.bundle = push_model(pods.model, registry.host)
    cloud, edge = pods.start("cloud"), pods.start("edge")
    pods.publish(1, PLANS, "011", cloud.address)
    wait_for(lambda: ready(edge) and pods.ask(edge.client_address) == "011", what="the pulled segments serve")
    a, b, c = pods.model.segments
    wait_for(lambda: ready(cloud))
    everything = {d for segment in (a, b, c) for d in (segment.blob, *segment.weights)}
    wait_for(
        lambda: kept_blobs(pods.cache("edge")) == everything | {pods.model.golden}, what="the fallback is pulled too"
    )
    assert kept_blobs(pods.cache("cloud")) == {d for segment in (b, c) for d in (segment.blob, *segment.weights)}
    registry.end()
    assert [stage.stop() for stage in (edge, cloud)] == [0, 0]
    shutil.rmtree(pods.model.bundle)
    cloud = pods.start("cloud")
    pods.publish(2, PLANS, "011", cloud.address)
    edge = pods.start("edge")
    wait_for(lambda: ready(edge) and pods.ask(edge.client_address) == "011", what="it serves from its cache")


def test_a_registry_that_is_away_is_reported_and_tried_until_it_is_back(pods, tmp_path):
    port = free_port()
    with oci_registry(tmp_path / "registry", port) as registry:
        pods.bundle = push_model(pods.model, registry.host)
    controller = Controller()
    try:
        edge = pods.start("edge", controller=controller.address)
        controller.publish(pods.route(1, ["000"], "000"))
        problem = wait_for(lambda: controller.reports.get("edge") and controller.reports["edge"].problem)
        assert f"127.0.0.1:{port}" in problem
        report = controller.reports["edge"]
        assert (report.instance, report.node, report.namespace) == ("edge-pod", "edge-node", NAMESPACE)
        with oci_registry(tmp_path / "registry", port):
            controller.wait_active("000", START_S)
            assert controller.reports["edge"].problem == ""
        assert pods.ask(edge.client_address) == "000"
    finally:
        controller.close()


def test_a_cache_that_is_too_small_is_explained_and_the_old_plan_serves_on(pods, registry):
    pods.bundle = push_model(pods.model, registry.host)
    last = pods.model.segments[-1]
    files = pods.model.bundle / "blobs" / "sha256"
    first = sum((files / digest.removeprefix("sha256:")).stat().st_size for digest in (last.blob, *last.weights))
    controller = Controller()
    try:
        cloud = pods.start("cloud", "--cache-limit-bytes", str(first + 100), controller=controller.address)
        edge = pods.start("edge", controller=controller.address)
        controller.publish(pods.route(1, ["001"], "001", cloud=[cloud.address]))
        controller.wait_active("001")
        controller.publish(pods.route(2, ["001", "011"], "011", cloud=[cloud.address]))
        problem = wait_for(lambda: controller.reports["cloud"].problem)
        assert "sizeLimit" in problem
        assert pods.ask(edge.client_address) == "001"
        assert controller.reports["edge"].active == "001"
    finally:
        controller.close()
