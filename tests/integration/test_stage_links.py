"""Stages over an emulated link: what they see of it, and what they do when it stands still."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.support.patience import PATIENCE_S
from tests.support.stages import MODEL, deployment, wait_for
from tiersplit_wire.client import InferenceClient

PAIR = ("edge", "cloud")


class Relay:
    """The link's own process, steered through its standard input."""

    def __init__(self, target, bandwidth_bps, latency_s):
        command = [sys.executable, "-m", "tiersplit_local.relay", "--target", target]
        command += ["--bandwidth-bps", str(bandwidth_bps), "--latency-s", str(latency_s)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = json.loads(self.process.stdout.readline())["address"]

    def set(self, **shape):
        self.process.stdin.write(json.dumps(shape) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


@pytest.fixture
def linked(tmp_path):
    with deployment(tmp_path, tiers=PAIR) as made:
        relay = Relay(made.addresses["cloud"][0], 5e6, 0.02)
        try:
            made.addresses["cloud"] = [relay.address]
            made.publish(["000", "011"], "011", fallback="000")
            made.controller.wait_selectable("000", "011")
            made.controller.wait_active("011")
            yield made, relay
        finally:
            relay.close()


def ask(made, client, rows):
    x = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    reply = client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S)
    np.testing.assert_allclose(reply.outputs["scores"], made.model.reference(x)["scores"], rtol=1e-4, atol=1e-5)
    return reply.parameters["plan"]


def fitted(links):
    """Bandwidth and one-way latency by least squares: seconds = 2 latency + 8 bytes / bandwidth.

    Of transmissions of about the same size the swiftest shows the link: a busy machine delays but never hastens.
    """
    swiftest = {}
    for seen in sorted(links, key=lambda seen: seen.seconds, reverse=True):
        swiftest[seen.bytes // 1024] = seen
    rows = np.array([[2.0, 8.0 * seen.bytes] for seen in swiftest.values()])
    latency, per_bit = np.linalg.lstsq(rows, np.array([seen.seconds for seen in swiftest.values()]), rcond=None)[0]
    return 1.0 / per_bit, latency


def test_observations_of_idle_transmissions_show_bandwidth_and_latency(linked):
    made, _ = linked

    def show_the_link():
        for rows in (1, 16, 32, 64):
            ask(made, client, rows)
        idle = [seen for seen in list(made.controller.links) if seen.idle_before and not seen.lost]
        return len(idle) >= 20 and fitted(idle) == (pytest.approx(5e6, rel=0.35), pytest.approx(0.02, rel=0.35))

    with InferenceClient(made.head) as client:
        wait_for(show_the_link, what="the observations show the link")


def test_a_link_that_stands_still_is_left_at_once_and_taken_again_when_it_moves(linked):
    made, relay = linked
    with InferenceClient(made.head) as client:
        wait_for(lambda: ask(made, client, 4) == "011", what="the link is used")
        relay.set(bandwidth_bps=0)
        made.controller.links.clear()
        began = time.monotonic()
        assert ask(made, client, 4) == "000"
        assert time.monotonic() - began < 10
        assert ask(made, client, 4) == "000"
        wait_for(lambda: any(seen.lost for seen in made.controller.links))
        relay.set(bandwidth_bps=5e6)
        wait_for(lambda: ask(made, client, 4) == "011", what="the link is taken again")
        wait_for(lambda: any(not seen.lost for seen in made.controller.links))
