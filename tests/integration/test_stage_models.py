"""A change of the model under load: plans of two bundles side by side on real stages."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.support.patience import PATIENCE_S
from tests.support.stages import MODEL, TinyModel, deployment, wait_for
from tiersplit_wire.client import InferenceClient

PAIR = ("edge", "cloud")
OLD = "before"


def route_with_both(made, old, selected):
    """The deployment's own model with the plans `000` and `011`, and the one before it with a plan over both tiers."""
    made.epoch += 1
    route = made.model.route(made.epoch, ["000", "011"], selected, made.addresses, tiers=PAIR, fallback="000")
    route.model.version = "2"
    before = old.route(made.epoch, ["011"], "011", {}, tiers=PAIR)
    for segment in before.segments:
        segment.id = f"{segment.id}-{OLD}"
        route.segments.add().CopyFrom(segment)
    plan = route.plans.add(digest=OLD, golden_blobs=before.golden_blobs)
    plan.model.CopyFrom(before.model)
    for placed in before.plans[0].segments:
        plan.segments.add(segment=f"{placed.segment}-{OLD}", tier=placed.tier)
    return route


def test_a_change_of_the_model_under_load_answers_every_request_by_the_model_that_it_names(tmp_path):
    with deployment(tmp_path, tiers=PAIR) as made:
        old = TinyModel(made.model.bundle, seed=7)
        made.controller.publish(route_with_both(made, old, OLD))
        made.controller.wait_selectable(OLD, "000", "011")
        made.controller.wait_active(OLD)
        stop, plans = threading.Event(), []

        def client(seed):
            with InferenceClient(made.head) as asking:
                for count in itertools.count():
                    if stop.is_set():
                        return
                    x = np.random.default_rng(seed * 100_000 + count).normal(size=(2, 4)).astype(np.float32)
                    reply = asking.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S)
                    plan = reply.parameters["plan"]
                    expected = (old if plan == OLD else made.model).reference(x)["scores"]
                    np.testing.assert_allclose(reply.outputs["scores"], expected, rtol=1e-4, atol=1e-5)
                    plans.append(plan)

        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(client, seed) for seed in range(2)]
            try:
                for selected in ("011", OLD, "000", OLD, "011"):
                    made.controller.publish(route_with_both(made, old, selected))
                    made.controller.wait_active(selected)
                    seen = len(plans)
                    wait_for(lambda wanted=selected, seen=seen: wanted in plans[seen:], what=f"{selected} answers")
            finally:
                stop.set()
            for done in asked:
                done.result()
        made.epoch += 1
        made.controller.publish(made.model.route(made.epoch, ["011"], "011", made.addresses, tiers=PAIR))
        made.controller.wait_active("011")
        assert sum(count.failed for count in made.controller.reports["edge"].served) == 0
