"""Several stages of one tier: work goes to the least busy that wants it, whoever comes and goes."""

import socket
import threading
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.support.stages import MODEL, Deployment, wait_for
from tiersplit_wire.client import InferenceClient

PAIR = ("edge", "cloud")
PLANS = ("000", "011")


class Replicated(Deployment):
    """An edge and clouds that may be added."""

    def __init__(self, folder):
        super().__init__(folder, tiers=PAIR, extra={"cloud": ["--metrics", "127.0.0.1:0"]})
        self.clouds = [self.stages["cloud"]]

    def add(self, *flags):
        self.clouds.append(self.start("cloud", "--metrics", "127.0.0.1:0", *flags))
        return self.clouds[-1]

    def offer(self, *addresses, plans=PLANS, selected="011"):
        self.addresses["cloud"] = list(addresses)
        self.publish(plans, selected, fallback="000")

    def close(self):
        for cloud in self.clouds:
            cloud.stop()
        super().close()


@pytest.fixture
def made(tmp_path):
    replicated = Replicated(tmp_path)
    try:
        yield replicated
    finally:
        replicated.close()


def ask(made, client, seed=0):
    x = np.random.default_rng(seed).normal(size=(1, 4)).astype(np.float32)
    reply = client.infer(MODEL, {"image": x}, timeout_s=20)
    np.testing.assert_allclose(reply.outputs["scores"], made.model.reference(x)["scores"], rtol=1e-4, atol=1e-5)
    return reply.parameters["plan"]


def answered(stage):
    """Requests that a stage has answered, as Prometheus would read it."""
    with urllib.request.urlopen(f"http://{stage.said['metrics_address']}/metrics", timeout=5) as found:
        lines = found.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("tiersplit_request_seconds_count") and 'code="OK"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in counts)


def load(made, requests, threads=8):
    """Plans that answered."""

    def run(seed):
        with InferenceClient(made.head) as client:
            return [ask(made, client, seed * 1000 + i) for i in range(requests // threads)]

    with ThreadPoolExecutor(threads) as pool:
        return Counter(plan for plans in pool.map(run, range(threads)) for plan in plans)


def test_every_stage_of_the_next_tier_takes_its_part(made):
    second = made.add()
    first = made.clouds[0]
    made.offer(first.address, second.address)
    made.controller.wait_active("011")
    wait_for(lambda: min(shares(made)) > 0, what="both have answered")
    before = shares(made)
    assert load(made, 200) == {"011": 200}
    grown = [now - then for now, then in zip(shares(made), before, strict=True)]
    assert min(grown) > 20


def shares(made):
    with InferenceClient(made.head) as client:
        for seed in range(4):
            ask(made, client, seed)
    return [answered(cloud) for cloud in made.clouds]


def test_a_stage_that_goes_gets_no_more_work_and_nothing_is_lost(made):
    second = made.add()
    made.offer(made.clouds[0].address, second.address)
    made.controller.wait_active("011")
    stop, plans, failed = threading.Event(), [], []

    def client(seed):
        with InferenceClient(made.head) as head:
            while not stop.is_set():
                try:
                    plans.append(ask(made, head, seed))
                except Exception as error:
                    failed.append(error)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(client, seed) for seed in range(4)]
        try:
            wait_for(lambda: len(plans) > 20)
            assert second.stop() == 0
            seen = len(plans)
            wait_for(lambda: len(plans) > seen + 20)
        finally:
            stop.set()
        for done in running:
            done.result()
    assert failed == []
    assert set(plans) == {"011"}
    assert made.controller.reports["edge"].rerun == 0


def test_a_stage_that_has_not_loaded_yet_gets_no_request(made):
    made.offer(made.clouds[0].address)
    made.controller.wait_active("011")
    # It follows no controller, so it never learns which segments to load.
    idle = made.add("--controller", "")
    made.offer(made.clouds[0].address, idle.address)
    wait_for(lambda: made.controller.reports["edge"].epoch == made.epoch)
    assert load(made, 80) == {"011": 80}
    assert made.controller.reports["edge"].rerun == 0
    assert answered(idle) == 0


def test_a_name_is_followed_to_every_address_behind_it(made):
    hosts = sorted({found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)})
    port = made.clouds[0].address.rpartition(":")[2]
    if "::1" in hosts:
        made.add("--listen", f"[::1]:{port}")
    made.offer(f"localhost:{port}")
    made.controller.wait_active("011")
    wait_for(lambda: min(shares(made)) > 0, what="each address behind the name has answered")
