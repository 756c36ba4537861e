"""Faster R-CNN with a feature pyramid on ResNet-50: torchvision's layers, in a form that can be divided.

Backbone, pyramid and the head that proposes regions are layers like others. All behind them is one opaque layer that
runs on the last tier: which proposals remain, the features inside of them, their classes and boxes. Its tensors have
the size of their bound and candidates are masked instead of removed, so that any batch size can be exported. State
dicts of torchvision's `fasterrcnn_resnet50_fpn` fit. Resizing and normalising the image are left to the caller.

Ren, He, Girshick, Sun, "Faster R-CNN", NeurIPS 2015; Lin et al., "Feature pyramid networks for object detection",
CVPR 2017.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN, fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import MultiScaleRoIAlign, roi_align

from tiersplit_import.one_layer import Opaque
from tiersplit_import.suppression import suppress

PROPOSALS, DETECTIONS = 1000, 100
CLASSES = 91
_PROPOSAL_OVERLAP, _DETECTION_OVERLAP = 0.7, 0.5
_LEAST_PROPOSAL, _LEAST_DETECTION = 1e-3, 1e-2
_LARGEST_GROWTH = math.log(1000.0 / 16)
_PROPOSAL_SCALE, _DETECTION_SCALE = (1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)
_POOLED, _SAMPLES = 7, 2
_CANONICAL_SIZE, _CANONICAL_STRIDE = 224.0, 16

Tensors = Sequence[torch.Tensor]


class Proposer(nn.Module):
    """The convolutions that find, per place and anchor, how likely an object is and where its box lies."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Per level (n, anchors, h, w) and (n, 4 · anchors, h, w)."""
        objectness, deltas = self.head(features)
        return objectness, deltas


class Detector(Opaque):
    """From the proposer's numbers to boxes, scores and classes.

    Args:
        box_head: from pooled features to a vector per proposal.
        box_predictor: from that vector to scores and boxes per class.
        anchors: per level the boxes around a place at the origin, (anchors, 4).
        score_threshold: the score that a detection must exceed.
    """

    def __init__(self, box_head: nn.Module, box_predictor: nn.Module, anchors: Tensors, score_threshold: float) -> None:
        super().__init__()
        self.box_head, self.box_predictor = box_head, box_predictor
        self.score_threshold = score_threshold
        self.levels = len(anchors)
        for i, around in enumerate(anchors):
            self.register_buffer(f"anchors{i}", around, persistent=False)

    def forward(
        self, size: tuple[int, int], features: Tensors, objectness: Tensors, deltas: Tensors
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes (n, 100, 4) in pixels, scores (n, 100) and classes (n, 100); all 0 where nothing more was found.

        Args:
            size: height and width of the image.
            features: per level of the pyramid; the last one, if there are more than `box_head` reads, only proposes.
            objectness: of the proposer.
            deltas: of the proposer.
        """
        boxes, valid = self._proposals(size, objectness, deltas)
        pooled = _pool(features[: self.levels - 1], size, boxes)
        logits, moved = self.box_predictor(self.box_head(pooled))
        return self._detections(size, boxes, valid, logits, moved)

    def _proposals(self, size: tuple[int, int], objectness: Tensors, deltas: Tensors) -> Tensors:
        """The best proposals, (n, 1000 or fewer, 4), and which of them are any."""
        found = [self._level(i, size, *pair) for i, pair in enumerate(zip(objectness, deltas, strict=True))]
        boxes, scores = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        best, order = scores.topk(min(PROPOSALS, scores.shape[1]), dim=1)
        return _take(boxes, order), best > 0

    def _level(self, i: int, size: tuple[int, int], objectness: torch.Tensor, deltas: torch.Tensor) -> Tensors:
        count, height, width = objectness.shape[1:]
        anchors = _everywhere(getattr(self, f"anchors{i}"), (height, width), size)
        scores = objectness.permute(0, 2, 3, 1).flatten(1)
        deltas = deltas.reshape(-1, count, 4, height, width).permute(0, 3, 4, 1, 2).flatten(1, 3)
        best, order = scores.topk(min(PROPOSALS, scores.shape[1]), dim=1)
        boxes = _clip(_decode(_take(deltas, order), anchors[order], _PROPOSAL_SCALE), size)
        scores = torch.sigmoid(best) * _is_large(boxes, _LEAST_PROPOSAL)
        return boxes, scores * suppress(boxes, scores, _PROPOSAL_OVERLAP)

    def _detections(
        self, size: tuple[int, int], boxes: torch.Tensor, valid: torch.Tensor, logits: torch.Tensor, moved: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        count, classes = boxes.shape[1], logits.shape[1] - 1
        scores = torch.softmax(logits, -1)[:, 1:].reshape(-1, count, classes).transpose(1, 2)
        moved = moved.reshape(-1, count, classes + 1, 4)[:, :, 1:].transpose(1, 2)
        found = _clip(_decode(moved, boxes.unsqueeze(1), _DETECTION_SCALE), size)
        wanted = (scores > self.score_threshold) & valid.unsqueeze(1) & _is_large(found, _LEAST_DETECTION)
        scores = scores * wanted
        kept = suppress(found.flatten(0, 1), scores.flatten(0, 1), _DETECTION_OVERLAP).reshape(-1, classes * count)
        best, order = (scores.flatten(1) * kept).topk(min(DETECTIONS, classes * count), dim=1)
        is_any = best > 0
        return _take(found.flatten(1, 2), order) * is_any.unsqueeze(-1), best, (order // count + 1) * is_any


def _take(values: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Rows of (n, m, 4) by (n, k)."""
    return values.gather(1, order.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def _everywhere(around: torch.Tensor, places: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """The anchors of every place of a level: (h · w · anchors, 4)."""
    steps = [torch.arange(count) * (length // count) for count, length in zip(places, size, strict=True)]
    y, x = torch.meshgrid(*steps, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (shifts + around).reshape(-1, 4)


def _decode(deltas: torch.Tensor, boxes: torch.Tensor, scale: Sequence[float]) -> torch.Tensor:
    """Corners of boxes that were moved and resized relatively to themselves."""
    corner, extent = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    parts = deltas / torch.tensor(scale)
    centre = corner + (0.5 + parts[..., :2]) * extent
    half = 0.5 * torch.exp(parts[..., 2:].clamp(max=_LARGEST_GROWTH)) * extent
    return torch.cat([centre - half, centre + half], dim=-1)


def _clip(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    height, width = size
    return torch.minimum(boxes.clamp(min=0), torch.tensor([width, height, width, height], dtype=torch.float32))


def _is_large(boxes: torch.Tensor, least: float) -> torch.Tensor:
    return ((boxes[..., 2:] - boxes[..., :2]) >= least).all(dim=-1)


def _pool(features: Tensors, size: tuple[int, int], boxes: torch.Tensor) -> torch.Tensor:
    """The features inside of each box, (n · boxes, channels, 7, 7), from the level that suits its size."""
    image = torch.ones_like(boxes[:, :, :1]).cumsum(0) - 1
    regions = torch.cat([image, boxes], dim=-1).flatten(0, 1)
    strides = [size[0] // feature.shape[2] for feature in features]
    level = _level_of(boxes.flatten(0, 1), strides)
    pooled = [roi_align(f, regions, _POOLED, 1 / stride, _SAMPLES) for f, stride in zip(features, strides, strict=True)]
    found: torch.Tensor = pooled[0]
    for i, other in enumerate(pooled[1:], 1):
        found = torch.where((level == i).reshape(-1, 1, 1, 1), other, found)
    return found


def _level_of(boxes: torch.Tensor, strides: Sequence[int]) -> torch.Tensor:
    """Equation 1 of the pyramid's paper: a box of 224 pixels belongs to the level of stride 16."""
    side = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    level = torch.floor(math.log2(_CANONICAL_STRIDE / strides[0]) + torch.log2(side / _CANONICAL_SIZE) + 1e-6)
    return level.clamp(0, len(strides) - 1)


class FasterRcnn(nn.Module):
    """Faster R-CNN of torchvision's parts.

    Args:
        model: torchvision's.
        score_threshold: the score that a detection must exceed.
    """

    def __init__(self, model: FasterRCNN, score_threshold: float) -> None:
        super().__init__()
        self.backbone: nn.Module = model.backbone
        self.rpn = Proposer(model.rpn.head)
        anchors: Any = model.rpn.anchor_generator.cell_anchors
        self.roi_heads = Detector(model.roi_heads.box_head, model.roi_heads.box_predictor, anchors, score_threshold)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """(n, 3, h, w), normalised, h and w multiples of 32, to at most 100 detections per image."""
        features = list(self.backbone(image).values())
        objectness, deltas = self.rpn(features)
        height, width = image.shape[2:]
        boxes, scores, labels = self.roi_heads((height, width), features, objectness, deltas)
        return {"boxes": boxes, "scores": scores, "labels": labels}


def faster_rcnn(score_threshold: float = 0.05) -> FasterRcnn:
    """The network of torchvision's `fasterrcnn_resnet50_fpn`, untrained; its pyramid reads all four stages."""
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    return FasterRcnn(model, score_threshold)


def faster_rcnn_late(score_threshold: float = 0.05) -> FasterRcnn:
    """A variant whose pyramid reads the last three stages only, so that the network can be divided later, untrained.

    AUTO-SPLIT, appendix B: features of the layers 23, 42 and 52 instead of 10, 23, 42 and 52.
    """
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5, returned_layers=[2, 3, 4]
    )
    sizes = ((64,), (128,), (256,), (512,))
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
    pool = MultiScaleRoIAlign(["0", "1", "2"], _POOLED, _SAMPLES)
    return FasterRcnn(FasterRCNN(backbone, CLASSES, rpn_anchor_generator=anchors, box_roi_pool=pool), score_threshold)
