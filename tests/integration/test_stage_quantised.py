"""Quantised plans on real stages: they answer what was rated, prove it by their own golden answer, send few bytes."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from tests.support import small_cnn
from tests.support.patience import PATIENCE_S
from tests.support.quantised_cnn import images, quantised_cnn
from tests.support.stages import TIERS, Controller, StageProcess, wait_for
from tiersplit_bundle import Blob, extend, media
from tiersplit_bundle.layout import blob_file
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import crossing_bits, plan_segments, segments_of
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.metrics import comparison
from tiersplit_import.plan_run import PlanRun, open_segment
from tiersplit_import.rating import rate
from tiersplit_import.segments import materialise
from tiersplit_wire.client import InferenceClient
from tiersplit_wire.v1 import route_pb2 as pb

NAME = "small-cnn"
LAYERS = ("conv1", "conv2", "add", "pool", "fc")
ELEMENTS = 32 * small_cnn.SIDE**2
"""Of what conv1 computes, as of what conv2 and the sum compute, per image."""


def plan(tiers, form=RunForm.INT8, **widths):
    """A plan such as `00122`: the tier index of each layer."""
    return Plan({layer: TIERS[int(tier)] for layer, tier in zip(LAYERS, tiers, strict=True)}, widths, form)


PLANS = {
    "float": plan("00122"),
    "int8 head, the skip connection in 4 bits and the rest in 8": plan("00122", conv1=(8, 4), conv2=(4, 8)),
    "int8 head, what a middle reads and passes on in 2 bits": plan("01222", conv1=(6, 2)),
    "int8 head, a middle that only relays, 6 bits": plan("00022", conv1=(8, 8), conv2=(2, 8), add=(32, 6)),
    "half of the head in int8": plan("00122", conv2=(8, 4)),
    "packed head, 4 and 8 bits": plan("00122", RunForm.PACKED, conv1=(4, 8), conv2=(2, 4)),
    "all in int8 on the first tier": plan("00000", **dict.fromkeys(LAYERS, (8, 8))),
}
QUANTISED = [name for name in PLANS if name != "float"]


class Deployed:
    """A rated bundle, three stages, and a controller that tells them routes."""

    def __init__(self, folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(small_cnn, "CHANNELS", 32)  # so that quantised weights lie outside of their segments
            bundle = quantised_cnn(folder / "bundle")
        self.specs = segments_of(bundle.graph, list(PLANS.values()))
        bundle = materialise(bundle.root, self.specs)
        np.savez(folder / "validation.npz", x=images(8, seed=5), y=np.arange(8) % small_cnn.CLASSES)
        rated = rate(bundle, list(PLANS.values()), folder / "validation.npz", comparison("Top1"))
        self.bundle = extend(bundle, rated)
        self.controller, self.epoch = Controller(), 0
        with ThreadPoolExecutor(len(TIERS)) as pool:
            self.stages = dict(zip(TIERS, pool.map(lambda tier: self._start(tier, folder), TIERS), strict=True))

    def _start(self, tier, folder):
        address = self.controller.address
        return StageProcess(tier, self.bundle.root, folder, address, head=tier == TIERS[0], deployment=NAME)

    @property
    def head(self):
        return self.stages[TIERS[0]].client_address

    def route(self, names, encoding="raw", goldens=None):
        """A route with these plans, the first one selected; `goldens` replaces golden answers by the plan's name."""
        graph, self.epoch = self.bundle.graph, self.epoch + 1
        route = pb.Route(deployment=NAME, epoch=self.epoch, selected=PLANS[names[0]].digest)
        route.model.name, route.model.version, route.model.max_batch = NAME, "1", 8
        route.model.inputs.add(name="x", tensor="x", datatype="FP32", shape=[-1, *graph.inputs[0].shape[1:]])
        route.model.outputs.add(name="y", tensor="y", datatype="FP32", shape=[-1, small_cnn.CLASSES])
        route.golden_blobs.extend(entry.digest for entry in self.bundle.layers if entry.media_type == media.GOLDEN)
        for found in self.bundle.segments:
            route.segments.add(
                id=found.id, blob=found.digest, weights=found.weights, inputs=found.inputs, outputs=found.outputs
            )
        for name in names:
            route.plans.append(self._plan(PLANS[name], encoding, (goldens or {}).get(name)))
        for tier in TIERS:
            route.tiers.add(tier=tier, addresses=[self.stages[tier].address])
        return route

    def _plan(self, wanted, encoding, golden):
        made = pb.RoutePlan(digest=wanted.digest)
        for segment, tier in plan_segments(wanted, self.specs):
            made.segments.add(segment=segment, tier=tier)
        for tensor, bits in crossing_bits(self.bundle.graph, wanted).items():
            made.crossings.add(tensor=tensor, bits=bits, encoding=encoding)
        if wanted.widths:
            made.golden_blobs.append(golden or self.bundle.plan_goldens[wanted.digest])
            made.bits = min(bits for pair in wanted.widths.values() for bits in pair)
        return made

    def rated(self, name, x):
        """What the plan's accuracy was measured on: its answers, as import computes them."""
        run = PlanRun(self.bundle, PLANS[name], self.specs)
        return run({"x": x}, lambda segment: open_segment(self.bundle, segment))["y"]

    def close(self):
        for stage in self.stages.values():
            stage.stop()
        self.controller.close()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    with contextlib.closing(Deployed(tmp_path_factory.mktemp("quantised"))) as made:
        yield made


@pytest.fixture(scope="module")
def client(deployed):
    with InferenceClient(deployed.head) as made:
        yield made


def apart(got, wanted):
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("encoding", ["raw", "zstd", "lz4"])
@pytest.mark.parametrize("name", QUANTISED)
def test_a_quantised_plan_answers_what_was_rated(deployed, client, name, encoding):
    deployed.controller.publish(deployed.route([name], encoding))
    deployed.controller.wait_active(PLANS[name].digest)
    wait_for(lambda: deployed.controller.reports["edge"].epoch == deployed.epoch)
    for seed in range(3):
        x = images(1, seed)
        reply = client.infer(NAME, {"x": x}, timeout_s=PATIENCE_S)
        assert reply.parameters["plan"] == PLANS[name].digest
        assert apart(reply.outputs["y"], deployed.rated(name, x)) < 1e-5
        assert apart(reply.outputs["y"], deployed.rated("float", x)) > 1e-4, "it is not the float model that runs"


@pytest.mark.parametrize(
    ("name", "payloads"),
    [
        ("int8 head, the skip connection in 4 bits and the rest in 8", {("edge", "mdc"): ELEMENTS * (4 + 8) // 8}),
        (
            "int8 head, what a middle reads and passes on in 2 bits",
            {("edge", "mdc"): ELEMENTS * 2 // 8, ("mdc", "cloud"): ELEMENTS * (2 + 32) // 8},
        ),
        (
            "int8 head, a middle that only relays, 6 bits",
            {("edge", "mdc"): ELEMENTS * 6 // 8, ("mdc", "cloud"): ELEMENTS * 6 // 8},
        ),
    ],
)
def test_what_crosses_a_link_takes_as_many_bytes_as_it_has_bits(deployed, client, name, payloads):
    deployed.controller.publish(deployed.route([name]))
    deployed.controller.wait_active(PLANS[name].digest)
    wait_for(lambda: deployed.controller.reports["edge"].epoch == deployed.epoch)
    deployed.controller.links.clear()
    client.infer(NAME, {"x": images(1, 9)}, timeout_s=PATIENCE_S)
    for (source, target), payload_bytes in payloads.items():

        def sent(source=source, target=target, payload_bytes=payload_bytes):
            found = [link.bytes for link in deployed.controller.links if (link.source, link.target) == (source, target)]
            return [size for size in found if payload_bytes <= size <= payload_bytes + 400]

        wait_for(sent, what=f"{payload_bytes} bytes from {source} to {target}: {deployed.controller.links}")


def changed_golden(deployed, name, change):
    """The digest of a blob with the plan's golden answer after `change`."""
    digest = deployed.bundle.plan_goldens[PLANS[name].digest]
    arrays = load_file(blob_file(deployed.bundle.root, digest))
    blob = Blob(media.PLAN_GOLDEN, save(change(arrays)))
    blob_file(deployed.bundle.root, blob.digest).write_bytes(blob.data)
    return blob.digest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda arrays: {**arrays, "output/y": -arrays["output/y"]}, "compared with what its own segments answered"),
        (lambda arrays: {"input/x": arrays["input/x"]}, "no output/y"),
    ],
    ids=["another answer", "no answer"],
)
def test_a_plan_that_does_not_answer_as_when_it_was_rated_is_not_selectable_and_says_why(
    deployed, client, change, reason
):
    name, other = QUANTISED[0], QUANTISED[1]
    deployed.controller.publish(deployed.route([other]))
    deployed.controller.wait_active(PLANS[other].digest)
    wrong = changed_golden(deployed, name, change)
    deployed.controller.publish(deployed.route([name, other], goldens={name: wrong}))
    report = wait_for(
        lambda: reason in deployed.controller.reports["edge"].problem and deployed.controller.reports["edge"],
        what=f"{reason!r}; {deployed.controller.reports['edge']}",
    )
    assert list(report.selectable) == [PLANS[other].digest]
    x = images(1, 4)
    assert apart(client.infer(NAME, {"x": x}, timeout_s=PATIENCE_S).outputs["y"], deployed.rated(other, x)) < 1e-5
    deployed.controller.publish(deployed.route([name, other]))
    deployed.controller.wait_active(PLANS[name].digest)
