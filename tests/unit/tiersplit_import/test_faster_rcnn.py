from pathlib import Path

import pytest
import torch
from torchvision.models.detection import FasterRCNN, fasterrcnn_resnet50_fpn
from torchvision.models.detection.image_list import ImageList

from tiersplit_bundle import Bundle
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.models.faster_rcnn import FasterRcnn
from tiersplit_import.options import ImportOptions
from tiersplit_import.pipeline import import_model

SIDE, THRESHOLD = 128, 0.0105


@pytest.fixture(scope="module")
def original() -> FasterRCNN:
    torch.manual_seed(0)
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, box_score_thresh=THRESHOLD).eval()
    for parameter in model.rpn.head.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return model


def test_it_finds_what_torchvision_finds(original: FasterRCNN) -> None:
    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        features = original.backbone(images)
        proposals, _ = original.rpn(ImageList(images, [(SIDE, SIDE)] * 2), features)
        expected, _ = original.roi_heads(features, proposals, [(SIDE, SIDE)] * 2)
        found = FasterRcnn(original, THRESHOLD)(images)
    for i, wanted in enumerate(expected):
        count = len(wanted["scores"])
        assert count > 0
        torch.testing.assert_close(found["scores"][i, :count], wanted["scores"])
        torch.testing.assert_close(found["boxes"][i, :count], wanted["boxes"], rtol=1e-4, atol=1e-2)
        assert torch.equal(found["labels"][i, :count], wanted["labels"])
        assert not found["scores"][i, count:].any() and not found["boxes"][i, count:].any()


@pytest.mark.slow
def test_it_is_imported_with_one_opaque_layer_behind_the_head_that_proposes(tmp_path: Path) -> None:
    inputs = (TensorSpec("image", "float32", (1, 3, 32, 32)),)
    options = ImportOptions(inputs=inputs, random_weights=True)
    made = import_model("tiersplit_import.models:faster_rcnn", tmp_path / "b", options)
    assert [layer.name for layer in made.graph.layers if layer.opaque] == ["roi_heads"]
    assert [key for key, _ in made.graph.output_names] == ["boxes", "scores", "labels"]
    assert Bundle.open(tmp_path / "b").golden()[1]["scores"].any()
