"""Several stages of one tier: work goes to the least busy that wants it, whoever comes and goes."""

import socket
import threading
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from tests.support.patience import PATIENCE_S, holds_in_one
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
    reply = client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S)
    np.testing.assert_allclose(reply.outputs["scores"], made.model.reference(x)["scores"], rtol=1e-4, atol=1e-5)
    return reply.parameters["plan"]


def answered(stage):
    """Requests that a stage has answered, as Prometheus would read it."""
    with urllib.request.urlopen(f"http://{stage.said['metrics_address']}/metrics", timeout=PATIENCE_S) as found:
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

    def both_work():
        before = shares(made)
        plans = load(made, 200)
        grown = [now - then for now, then in zip(shares(made), before, strict=True)]
        return plans == {"011": 200} and min(grown) > 20

    assert holds_in_one(both_work)


def shares(made):
    with InferenceClient(made.head) as client:
        for seed in range(4):
            ask(made, client, seed)
    return [answered(cloud) for cloud in made.clouds]


@contextmanager
def asking(made, threads=4):
    """Requests meanwhile; yields the plans that answered, and is an error if any request was."""
    stop, plans = threading.Event(), []

    def client(seed):
        with InferenceClient(made.head) as head:
            while not stop.is_set():
                plans.append(ask(made, head, seed))

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(client, seed) for seed in range(threads)]
        try:
            yield plans
        finally:
            stop.set()
            for done in running:
                done.result()


def test_a_stage_that_goes_gets_no_more_work_and_nothing_is_lost(made):
    def one_goes():
        second = made.add()
        made.offer(made.clouds[0].address, second.address)
        made.controller.wait_active("011")
        before = rerun(made)
        with asking(made) as plans:
            wait_for(lambda: len(plans) > 20)
            assert second.stop() == 0
            seen = len(plans)
            wait_for(lambda: len(plans) > seen + 20)
        return set(plans) == {"011"} and rerun(made) == before

    assert holds_in_one(one_goes)


def test_a_stage_that_has_not_loaded_yet_gets_no_request(made):
    made.offer(made.clouds[0].address)
    made.controller.wait_active("011")
    # It follows no controller, so it never learns which segments to load.
    idle = made.add("--controller", "")
    made.offer(made.clouds[0].address, idle.address)
    wait_for(lambda: made.controller.reports["edge"].epoch == made.epoch)

    def the_other_works_alone():
        before = rerun(made)
        return load(made, 80) == {"011": 80} and rerun(made) == before

    assert holds_in_one(the_other_works_alone)
    assert answered(idle) == 0


def rerun(made):
    """Requests that were run again, as a report says that was made from now on."""
    made.publish(PLANS, "011", fallback="000")
    wait_for(lambda: made.controller.reports["edge"].epoch == made.epoch)
    return made.controller.reports["edge"].rerun


def test_a_name_is_followed_to_every_address_behind_it(made):
    hosts = sorted({found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)})
    port = made.clouds[0].address.rpartition(":")[2]
    if "::1" in hosts:
        made.add("--listen", f"[::1]:{port}")
    made.offer(f"localhost:{port}")
    made.controller.wait_active("011")
    wait_for(lambda: min(shares(made)) > 0, what="each address behind the name has answered")
