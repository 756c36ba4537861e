"""Real stages on loopback answer like the unsplit model, whatever plan runs."""

import itertools
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.support.patience import PATIENCE_S
from tests.support.stages import MODEL, deployment, wait_for
from tiersplit_wire.client import InferenceClient

PLANS = ["".join(plan) for plan in itertools.combinations_with_replacement("012", 3)]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with deployment(tmp_path_factory.mktemp("chain")) as made:
        made.publish(PLANS, "012", fallback="000")
        made.controller.wait_selectable(*PLANS)
        yield made


@pytest.fixture(scope="module")
def client(chain):
    with InferenceClient(chain.head) as made:
        yield made


def images(rows, seed):
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


def assert_right(chain, reply, x):
    for name, expected in chain.model.reference(x).items():
        np.testing.assert_allclose(reply.outputs[name], expected, rtol=1e-4, atol=1e-5)


def answer_by(plan, chain, client, x):
    """The right answer of this plan; while a link gets no time of the machine another one answers, as rightly."""

    def answered():
        reply = client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S)
        assert_right(chain, reply, x)
        return reply.parameters["plan"] == plan and reply

    return wait_for(answered, what=f"{plan} answers")


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_answers_like_the_unsplit_model(chain, client, plan):
    chain.publish(PLANS, plan, fallback="000")
    chain.controller.wait_active(plan)
    for rows in (1, 5):
        reply = answer_by(plan, chain, client, images(rows, rows))
        assert reply.parameters["exit"] == "final"
        assert reply.parameters["stages"] == ",".join(chain.tiers[int(t)] for t in sorted(set(plan)))


def test_concurrent_requests_never_get_each_others_answers(chain, client):
    chain.publish(PLANS, "012", fallback="000")
    chain.controller.wait_active("012")

    def ask(seed):
        x = images(1 + seed % 4, seed)
        assert_right(chain, client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S), x)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(300)))


def test_moves_under_load_lose_nothing(chain, client):
    stop = threading.Event()
    answered = queue.SimpleQueue()

    def ask(seed):
        for count in itertools.count():
            if stop.is_set():
                return
            x = images(1, seed * 10_000 + count)
            assert_right(chain, client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S), x)
            answered.put(1)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, seed) for seed in range(4)]
        for plan in PLANS * 2:
            chain.publish(PLANS, plan, fallback="000")
            chain.controller.wait_active(plan)
            for _ in range(5):
                answered.get(timeout=PATIENCE_S)
        stop.set()
        for future in asked:
            future.result()


@pytest.mark.parametrize(("bits", "encoding"), [(4, ""), (8, ""), (16, "zstd"), (32, "lz4")])
def test_narrow_crossings_answer_within_their_precision(chain, client, bits, encoding):
    chain.publish(["012"], "012", bits=bits, encoding=encoding)
    chain.controller.wait_active("012")
    wait_for(lambda: chain.controller.reports["edge"].epoch == chain.epoch)
    x = images(3, 1)
    reply = client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S)
    expected = chain.model.reference(x)["scores"]
    error = np.linalg.norm(reply.outputs["scores"] - expected) / np.linalg.norm(expected)
    assert error < {4: 0.3, 8: 0.05, 16: 5e-3, 32: 1e-5}[bits]


def test_segments_are_loaded_and_dropped_as_routes_come(chain, client):
    chain.publish(["000"], "000")
    wait_for(lambda: not chain.controller.reports["cloud"].resident and not chain.controller.reports["mdc"].resident)
    chain.publish(["000", "022"], "022")
    chain.controller.wait_active("022")
    x = images(2, 7)
    assert_right(chain, client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S), x)
    assert sorted(chain.controller.reports["cloud"].resident) == ["b", "c"]
