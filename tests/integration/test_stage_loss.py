"""Links, stages and controllers go away: requests are answered all the same, once, or told clearly why not."""

import queue
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.support.patience import PATIENCE_S, holds_in_one
from tests.support.stages import MODEL, Controller, StageProcess, deployment, wait_for
from tiersplit_core.errors import ExhaustedError, UnavailableError
from tiersplit_wire.client import InferenceClient

PAIR = ("edge", "cloud")


def images(rows=1, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


def ask(made, client, x=None, timeout_s=PATIENCE_S):
    x = images() if x is None else x
    reply = client.infer(MODEL, {"image": x}, timeout_s=timeout_s)
    np.testing.assert_allclose(reply.outputs["scores"], made.model.reference(x)["scores"], rtol=1e-4, atol=1e-5)
    return reply.parameters["plan"]


class Load:
    """Requests from several threads until it is left; every answer is checked."""

    def __init__(self, made, clients=4):
        self.made, self.plans, self.errors = made, queue.SimpleQueue(), queue.SimpleQueue()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(clients)]

    def _run(self, seed):
        with InferenceClient(self.made.head) as client:
            count = 0
            while not self._stop.is_set():
                count += 1
                try:
                    self.plans.put(ask(self.made, client, images(1, seed * 1_000_000 + count)))
                except Exception as error:
                    self.errors.put(error)

    def seen(self, plan, at_least=20):
        """Wait until `plan` has answered that often from now on."""
        left = at_least
        end = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < end:
            left -= self.plans.get(timeout=PATIENCE_S) == plan
        assert not left, f"{plan} did not answer; {list(self.failed())}"

    def failed(self):
        while not self.errors.empty():
            yield self.errors.get()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)


@pytest.mark.parametrize("victim", ["cloud", "mdc"])
def test_a_stage_that_dies_under_load_costs_no_request_and_comes_back(tmp_path, victim):
    with deployment(tmp_path) as made:
        made.publish(["000", "012"], "012", fallback="000")
        made.controller.wait_active("012")
        made.controller.wait_selectable("000", "012")
        with Load(made) as load:
            load.seen("012")
            made.stages[victim].kill()
            load.seen("000")
            made.stages[victim] = made.start(victim)
            made.addresses[victim] = [made.stages[victim].address]
            made.publish(["000", "012"], "012", fallback="000")
            load.seen("012")
        assert not list(load.failed())
        assert any(seen.lost for seen in made.controller.links)


def test_a_link_that_stops_moving_is_left_within_a_second_and_used_again_when_it_moves(tmp_path):
    with deployment(tmp_path, tiers=PAIR) as made:
        made.publish(["000", "011"], "011", fallback="000")
        made.controller.wait_selectable("000", "011")
        with Load(made) as load:
            load.seen("011")
            made.stages["cloud"].process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            load.seen("000")
            assert time.monotonic() - began < 10
            made.stages["cloud"].process.send_signal(signal.SIGCONT)
            load.seen("011")
        assert not list(load.failed())


def test_without_a_fallback_the_client_is_told_clearly(tmp_path):
    with deployment(tmp_path, tiers=PAIR) as made:
        made.publish(["011"], "011")
        made.controller.wait_active("011")
        made.stages["cloud"].kill()
        with (
            InferenceClient(made.head) as client,
            pytest.raises(UnavailableError, match=r"no way from edge to cloud|broke"),
        ):
            ask(made, client)


def test_a_head_serves_on_without_its_controller_and_starts_again_from_the_kept_route(tmp_path):
    state = ("--state-dir", str(tmp_path / "state"))
    with deployment(tmp_path, tiers=PAIR, extra={"edge": state}) as made:
        made.publish(["000", "011"], "011", fallback="000")
        made.controller.wait_active("011")
        made.controller.close()
        with InferenceClient(made.head) as client:
            wait_for(lambda: ask(made, client) == "011", what="it serves on")
        made.stages["edge"].stop()
        made.stages["edge"] = StageProcess("edge", made.model.bundle, tmp_path, "", *state, head=True)
        with InferenceClient(made.head) as client:
            wait_for(client.ready)
            assert ask(made, client) in {"000", "011"}


def test_stages_return_to_a_controller_that_was_away_and_refuse_its_older_routes(tmp_path):
    with deployment(tmp_path, tiers=PAIR) as made:
        made.publish(["000", "011"], "000", fallback="000")
        made.controller.wait_active("000")
        made.publish(["000", "011"], "011", fallback="000")
        made.controller.wait_active("011")
        made.controller.close()
        made.controller = Controller(f"127.0.0.1:{made.controller.port}")
        made.controller.wait_active("011")
        made.epoch = 0
        made.publish(["000"], "000")
        made.epoch = 5
        with InferenceClient(made.head) as client:
            wait_for(lambda: ask(made, client) == "011", what="the newer route serves on")
        assert made.controller.reports["edge"].epoch == 2


def test_draining_a_head_and_a_tail_loses_nothing(tmp_path):
    # So long a head still answers after it was told to stop; clients may need as long to have sent everything.
    with deployment(tmp_path, tiers=PAIR, extra={"edge": ("--drain-wait-s", "5")}) as made:
        made.publish(["000", "011"], "011", fallback="000")
        made.controller.wait_selectable("000", "011")
        with Load(made, clients=2) as load:
            load.seen("011")
            assert made.stages["cloud"].stop() == 0
            load.seen("000")
        assert not list(load.failed())
        x = images(4)
        with InferenceClient(made.head) as client, ThreadPoolExecutor(8) as pool:
            pending = [pool.submit(ask, made, client, x) for _ in range(64)]
            made.stages["edge"].process.terminate()
            assert all(future.result() == "000" for future in pending)
        assert made.stages["edge"].stop() == 0


def test_a_full_head_refuses_and_then_serves_again(tmp_path):
    slow = {"edge": ("--max-in-flight", "2", "--slowdown", "2000")}
    with deployment(tmp_path, tiers=("edge",), extra=slow) as made:
        made.publish(["000"], "000", fallback="000")
        made.controller.wait_active("000")

        def crowd():
            pending = [pool.submit(ask, made, client) for _ in range(8)]
            errors = [future.exception() for future in pending]
            return any(isinstance(error, ExhaustedError) for error in errors) and None in errors

        with InferenceClient(made.head) as client, ThreadPoolExecutor(8) as pool:
            assert holds_in_one(crowd)
            assert ask(made, client) == "000"


def test_links_are_observed_while_they_are_idle(tmp_path):
    with deployment(tmp_path, tiers=PAIR) as made:
        made.publish(["000", "011"], "000", fallback="000", probe_budget_bps=1_000_000)
        made.controller.wait_active("000")
        wait_for(lambda: made.controller.links)
        made.controller.links.clear()
        # A link that gets no time of the machine for a moment is observed to be slow, or to stand still, just then.
        wait_for(lambda: sum(swift_while_idle(seen) for seen in list(made.controller.links)) >= 2)
        assert {(seen.source, seen.target) for seen in made.controller.links} == {PAIR}


def swift_while_idle(seen):
    return seen.idle_before and not seen.lost and 0 < seen.seconds < 1
