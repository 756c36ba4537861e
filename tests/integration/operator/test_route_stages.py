"""Real stages at the operator's route stream: leaders that change, and models that are trained again."""

import asyncio

import numpy as np
import pytest

from tests.support.patience import PATIENCE_S
from tests.support.route_server import serve_routes
from tests.support.stages import MODEL, StageProcess, TinyModel
from tiersplit_operator.adaptation.succession import finished, own_plans, succeeding
from tiersplit_wire.client import InferenceClient
from tiersplit_wire.v1 import route_pb2 as pb


class Head:
    """A stage process that follows a world's routes."""

    def __init__(self, world, model, folder):
        token = folder / "token"
        token.write_text("token-0\n")
        flags = ["--token-file", str(token), "--namespace", "shop", "--instance", "pod-0", "--node", "node-0"]
        self.world = world
        self.stage = StageProcess("edge", model.bundle, folder, world.address, *flags, head=True)

    @property
    def newest(self):
        """Its newest report."""
        return self.world.reports[-1][1] if self.world.reports else pb.StageReport()

    def ask(self, x):
        with InferenceClient(self.stage.client_address) as client:
            return client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S).outputs["scores"]

    async def stop(self):
        assert await asyncio.to_thread(self.stage.stop) == 0


def route(model, epoch, bundle=""):
    made = model.route(epoch, ["000"], "000", {}, tiers=("edge",), fallback="000")
    made.bundle = f"oci://registry.test/tiny@sha256:{bundle * 64}" if bundle else ""
    return made


def test_a_real_stage_follows_the_stream_through_a_change_of_leaders(tmp_path):
    model = TinyModel(tmp_path / "bundle")

    async def work(world):
        world.publish(route(model, 3))
        head = await asyncio.to_thread(Head, world, model, tmp_path)
        try:
            await world.until(lambda: head.newest.active == "000", "the first route serves")
            assert (head.newest.epoch, head.newest.node, list(head.newest.selectable)) == (3, "node-0", ["000"])
            world.leads = False
            world.publish(route(model, 4))
            await world.until(lambda: head.newest.epoch == 4, "the route of a replica that does not lead counts")
            world.leads = True
            world.publish(route(model, 5))
            await world.until(lambda: head.newest.epoch == 5, "it dialled again")
        finally:
            await head.stop()
        await world.until(lambda: world.server.streams == 0, "its stream ends with it")

    serve_routes(work)


async def replace_model(world, head, old, new, answers):
    """The steps of a switch from one bundle to the next, as adaptation takes them."""
    made = succeeding(new, old)
    name = own_plans(made)["000"]
    made.epoch = 2
    world.publish(made)
    await world.until(lambda: name in head.newest.selectable, "the second model is verified")
    assert head.newest.active == "000"
    made.selected, made.epoch = name, 3
    world.publish(made)
    await world.until(lambda: head.newest.active == name, "the second model serves")
    over = finished(made, name)
    over.epoch = 4
    world.publish(over)
    seen = len(answers)
    await world.until(lambda: head.newest.epoch == 4 and len(answers) > seen + 5, "the first model left")


@pytest.mark.slow
def test_a_model_that_was_trained_again_takes_over_without_a_request_that_fails(tmp_path):
    models = [TinyModel(tmp_path / "bundle", seed) for seed in (0, 1)]
    x = np.random.default_rng(7).normal(size=(2, 4)).astype(np.float32)
    answers, done = [], asyncio.Event()

    async def load(head):
        while not done.is_set():
            answers.append(await asyncio.to_thread(head.ask, x))

    async def work(world):
        old = route(models[0], 1, "a")
        world.publish(old)
        head = await asyncio.to_thread(Head, world, models[0], tmp_path)
        try:
            await world.until(lambda: head.newest.active == "000", "the first model serves")
            asking = asyncio.create_task(load(head))
            await replace_model(world, head, old, route(models[1], 0, "b"), answers)
            done.set()
            await asking
        finally:
            done.set()
            await head.stop()

    serve_routes(work)
    first, second = (
        [np.allclose(answer, model.reference(x)["scores"], rtol=1e-4, atol=1e-5) for answer in answers]
        for model in models
    )
    assert [one != other for one, other in zip(first, second, strict=True)] == [True] * len(answers)
    assert first == sorted(first, reverse=True)
    assert first[0]
    assert second[-1]
