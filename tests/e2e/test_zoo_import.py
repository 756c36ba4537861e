"""Every network that must import: its published figures, and cuts of it that compute what it computes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cutting import Pieces, assert_close, open_session, ordered, random_plans
from tiersplit_bundle import Bundle
from tiersplit_core.planning.segments import segments_of
from tiersplit_import.options import ImportOptions
from tiersplit_import.pipeline import Imported, import_model
from tiersplit_import.probe import random_inputs
from tiersplit_import.segments import materialise


@dataclass(frozen=True)
class Published:
    """A network's figures as torchvision's documentation lists them, at the input size of its weights.

    inception_v3's 27.16 million parameters contain an auxiliary head that inference never runs; 23.83 million remain.
    """

    parameters: int
    giga_macs: float
    size: int = 224
    module: str = "torchvision.models"


ZOO = {
    "alexnet": Published(61_100_840, 0.714),
    "vgg16": Published(138_357_544, 15.47),
    "vgg19": Published(143_667_240, 19.632),
    "resnet18": Published(11_689_512, 1.814),
    "resnet50": Published(25_557_032, 4.089),
    "resnext50_32x4d": Published(25_028_904, 4.23),
    "googlenet": Published(6_624_904, 1.498),
    "inception_v3": Published(23_834_568, 5.713, 299),
    "mobilenet_v2": Published(3_504_872, 0.301),
    "mobilenet_v3_large": Published(5_483_032, 0.217),
    "mnasnet1_0": Published(4_383_312, 0.314),
    "efficientnet_b0": Published(5_288_548, 0.386),
    "efficientnet_b1": Published(7_794_184, 0.687, 240),
    "efficientnet_b2": Published(9_109_994, 1.088, 288),
    "efficientnet_b3": Published(12_233_232, 1.827, 300),
    "efficientnet_b4": Published(19_341_616, 4.394, 380),
    "efficientnet_v2_s": Published(21_458_488, 8.366, 384),
    "densenet201": Published(20_013_928, 4.291),
    "shufflenet_v2_x1_0": Published(2_278_604, 0.145),
    "squeezenet1_1": Published(1_235_496, 0.349),
    "regnet_y_800mf": Published(6_432_512, 0.834),
    "convnext_tiny": Published(28_589_128, 4.456),
    "vit_b_16": Published(86_567_656, 17.564),
    "swin_t": Published(28_288_354, 4.491),
    "deeplabv3_mobilenet_v3_large": Published(11_029_328, 10.452, 520, "torchvision.models.segmentation"),
}


HEAVY = 5.0
"""Above this, cuts are checked at batch sizes 1 and 2 instead of 1 and 5, to keep the whole list within minutes."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_it_imports_with_its_published_figures_and_cuts_anywhere(name: str, tmp_path: Path) -> None:
    published, path = ZOO[name], tmp_path / name
    made = import_model(f"{published.module}:{name}", path, ImportOptions(random_weights=True))
    check_figures(made, published)
    graph = made.graph
    segments = segments_of(graph, random_plans(graph, tiers=3, count=1, seed=len(name)))
    bundle = materialise(path, segments)
    pieces = Pieces(bundle, ordered(bundle, [segment.id for segment in segments]))
    whole = open_session(bundle.model_path)
    for batch in (1, 5 if published.giga_macs < HEAVY else 2):
        feeds = random_inputs(graph.inputs, batch, seed=batch)
        found = whole.run([tensor for _, tensor in graph.output_names], feeds)
        assert_close(pieces(feeds), dict(zip((key for key, _ in graph.output_names), found, strict=True)))
    shutil.rmtree(path)  # the large ones would fill the disk before the session ends


def check_figures(made: Imported, published: Published) -> None:
    graph = made.graph
    assert graph.inputs[0].shape == (1, 3, published.size, published.size)
    assert sum(layer.parameters for layer in graph.layers) == pytest.approx(published.parameters, rel=0.01)
    assert sum(layer.macs for layer in graph.layers) == pytest.approx(published.giga_macs * 1e9, rel=0.01)
    assert made.difference.relative <= 1e-4
    assert Bundle.open(made.path).digest == made.digest
