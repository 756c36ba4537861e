"""Heads that move the split by themselves: real stages over emulated links, mostly without any controller."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from tests.integration.test_stage_links import Relay
from tests.support.guided import LATENCY_S, PAIR, best_plan, guide, plans_of, tiny_surface
from tests.support.patience import PATIENCE_S, START_S, holds_in_one
from tests.support.stages import MODEL, StageProcess, TinyModel, deployment, wait_for
from tiersplit_core.errors import TiersplitError
from tiersplit_wire.client import InferenceClient

SLOW_BPS, FAST_BPS = 1e6, 1e7
ROWS = 64  # 16 KiB cross the link with `011`: 13 ms at the fast rate, 0.13 s at the slow one


@pytest.fixture(scope="module")
def surface():
    found = tiny_surface()
    assert (best_plan(found, SLOW_BPS), best_plan(found, FAST_BPS)) == ("000", "011")
    return found


class Fleet:
    """A cloud stage, and heads that read one route from files; only the address of the cloud is each link's own."""

    def __init__(self, folder, surface, stack):
        self.folder, self.surface, self.stack = folder, surface, stack
        self.model = TinyModel(folder / "bundle")
        self.cloud = self.stage("cloud", self.write("cloud", []))

    def write(self, name, addresses):
        route = self.model.route(1, plans_of(self.surface), "000", {"cloud": addresses}, tiers=PAIR, fallback="000")
        path = self.folder / f"{name}.binpb"
        path.write_bytes(guide(route, self.surface).SerializeToString())
        return path

    def stage(self, tier, route, **more):
        made = StageProcess(tier, self.model.bundle, self.folder, "", "--route-file", str(route), **more)
        self.stack.callback(made.stop)
        return made

    def head(self, name, bandwidth_bps):
        relay = Relay(self.cloud.address, bandwidth_bps, LATENCY_S)
        self.stack.callback(relay.close)
        route = self.write(name, [relay.address])
        return Head(self, self.stage("edge", route, head=True), relay, route)


class Head:
    """One head with its link and a client."""

    def __init__(self, fleet, stage, relay, route):
        self.fleet, self.stage, self.relay, self.route = fleet, stage, relay, route
        self.client = fleet.stack.enter_context(InferenceClient(stage.client_address))

    def ask(self, seed=0, rows=ROWS):
        return ask(self.fleet.model, self.client, seed, rows)

    def settles_on(self, plan, timeout_s=240.0):
        """Without traffic over the link its probes, 1% of what it is believed to carry, must tell; they may be rare."""

        def answered():
            try:
                return self.ask() == plan
            except TiersplitError:
                return False  # nothing is verified yet

        wait_for(answered, timeout_s, f"{plan} serves")


def ask(model, client, seed, rows=ROWS):
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    reply = client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S)
    np.testing.assert_allclose(reply.outputs["scores"], model.reference(x)["scores"], rtol=1e-4, atol=1e-5)
    return reply.parameters["plan"]


@pytest.fixture
def fleet(tmp_path, surface):
    with ExitStack() as stack:
        yield Fleet(tmp_path, surface, stack)


def test_heads_with_different_links_settle_on_different_plans_of_one_route_and_follow_their_links(fleet):
    fast, slow = fleet.head("fast", FAST_BPS), fleet.head("slow", SLOW_BPS)
    fast.settles_on(best_plan(fleet.surface, FAST_BPS))
    slow.settles_on(best_plan(fleet.surface, SLOW_BPS))

    def leaves_a_link_that_becomes_slow():
        fast.relay.set(bandwidth_bps=FAST_BPS)
        fast.settles_on(best_plan(fleet.surface, FAST_BPS))
        fast.relay.set(bandwidth_bps=SLOW_BPS)
        began = time.monotonic()
        fast.settles_on(best_plan(fleet.surface, SLOW_BPS))
        return time.monotonic() - began < 5.0

    assert holds_in_one(leaves_a_link_that_becomes_slow)
    slow.relay.set(bandwidth_bps=FAST_BPS)  # only its probes cross the link
    slow.settles_on(best_plan(fleet.surface, FAST_BPS))
    assert fast.stage.stop() == 0
    again = Head(fleet, fleet.stage("edge", fast.route, head=True), fast.relay, fast.route)
    again.settles_on(best_plan(fleet.surface, SLOW_BPS))


def test_a_noisy_link_that_stays_as_it_is_moves_nothing(tmp_path, surface):
    with deployment(tmp_path, tiers=PAIR) as made, InferenceClient(made.head) as client:
        relay = Relay(made.addresses["cloud"][0], FAST_BPS, LATENCY_S)
        try:
            made.addresses["cloud"] = [relay.address]
            route = made.model.route(1, plans_of(surface), "011", made.addresses, tiers=PAIR, fallback="000")
            made.controller.publish(guide(route, surface))
            made.controller.wait_selectable(*plans_of(surface), timeout_s=START_S)
            random = np.random.default_rng(1)

            def stays():
                made.controller.wait_active("011", START_S)
                left = set()
                for seed in range(200):
                    relay.set(bandwidth_bps=FAST_BPS * random.uniform(0.7, 1.3))
                    ask(made.model, client, seed, rows=int(random.integers(1, ROWS)))
                    report = made.controller.reports["edge"]
                    left |= set() if report.active == "011" else {report.decision}
                # Where the machine gives the link's process no time for a second, the link is down.
                return not [why for why in left if "is down" not in why and "not selectable" not in why]

            assert holds_in_one(stays)
        finally:
            relay.close()


@contextmanager
def asking(model, address, threads):
    """Requests from `threads` clients meanwhile; yields the plans that answered, and is an error if any request was."""
    stop, plans = threading.Event(), []

    def client(seed):
        with InferenceClient(address) as made:
            for count in itertools.count():
                if stop.is_set():
                    return
                plans.append(ask(model, made, seed * 100_000 + count, rows=2))

    with ThreadPoolExecutor(threads) as pool:
        asked = [pool.submit(client, seed) for seed in range(threads)]
        try:
            yield plans
        finally:
            stop.set()
            for done in asked:
                done.result()


def test_200_moves_of_its_own_cost_no_request_and_are_told_with_their_reason(tmp_path, surface):
    with deployment(tmp_path, tiers=PAIR) as made:
        plans = ["000", "011"]

        def publish(loaded):
            """So loaded that the other tier is better, whatever a busy machine makes of its loopback."""
            made.epoch += 1
            route = made.model.route(made.epoch, plans, "000", made.addresses, tiers=PAIR, fallback="000")
            made.controller.publish(guide(route, surface, loads={loaded: 1000.0}, cooldown_s=0.0))

        publish("edge")
        made.controller.wait_selectable(*plans)
        made.controller.wait_active("011")
        with asking(made.model, made.head, 4) as answered:
            for move in range(200):
                publish("cloud" if move % 2 == 0 else "edge")
                made.controller.wait_active("000" if move % 2 == 0 else "011")
        assert {"000", "011"} <= set(answered)
        report = made.controller.reports["edge"]
        assert "better" in report.decision
        assert sum(count.failed for count in report.served) == 0
        # A machine that stands still for a moment has the requests of that moment run again, a move has none.
        assert report.rerun < 50


def test_stages_tell_what_they_believe_of_their_link_and_of_themselves(tmp_path, surface):
    with deployment(tmp_path, tiers=PAIR) as made, InferenceClient(made.head) as client:
        relay = Relay(made.addresses["cloud"][0], FAST_BPS, LATENCY_S)
        try:
            made.addresses["cloud"] = [relay.address]
            route = made.model.route(1, ["011"], "011", made.addresses, tiers=PAIR)
            for segment, tier in (("a", "edge"), ("b", "cloud"), ("c", "cloud")):
                route.profiles.add(segment=segment, tier=tier, batch=ROWS, seconds=1e-4)
            made.controller.publish(route)
            made.controller.wait_active("011")

            def told():
                ask(made.model, client, 0)
                links = list(made.controller.reports["edge"].estimates)
                return any(not link.down and FAST_BPS / 3 < link.bandwidth_bps < FAST_BPS * 3 for link in links)

            wait_for(told, what="the link is known")
            wait_for(lambda: all(made.controller.reports[tier].load > 0 for tier in PAIR))
            (link,) = made.controller.reports["edge"].estimates
            assert (link.source, link.target) == PAIR
            assert not made.controller.reports["cloud"].estimates
            relay.set(bandwidth_bps=0)
            wait_for(lambda: made.controller.reports["edge"].estimates[0].down)
        finally:
            relay.close()
