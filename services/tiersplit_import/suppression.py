"""Non-maximum suppression as a mask: every candidate keeps its place, so that no size depends on data."""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset21

_ALL = 2**31 - 1


@torch.library.custom_op("tiersplit_import::suppress", mutates_args=())
def suppress(boxes: torch.Tensor, scores: torch.Tensor, overlap: float) -> torch.Tensor:
    """Which boxes remain when each that overlaps a better one too far is dropped, group by group.

    Args:
        boxes: two corners each, shape (groups, n, 4).
        scores: shape (groups, n); a box without a positive score is no candidate.
        overlap: the largest intersection over union that two remaining boxes may have.

    Returns:
        Truth values of shape (groups, n).
    """
    from torchvision.ops import nms  # noqa: PLC0415 - torchvision loads slowly

    kept = torch.zeros_like(scores, dtype=torch.bool)
    for i, (own, score) in enumerate(zip(boxes, scores, strict=True)):
        candidates = torch.nonzero(score > 0).flatten()
        kept[i, candidates[nms(own[candidates], score[candidates], overlap)]] = True
    return kept


@suppress.register_fake
def _(boxes: torch.Tensor, scores: torch.Tensor, overlap: float) -> torch.Tensor:  # noqa: ARG001
    return torch.empty_like(scores, dtype=torch.bool)


def _translate(boxes: Any, scores: Any, overlap: float) -> Any:
    constant: Any = opset21.Constant
    found = opset21.NonMaxSuppression(
        boxes,
        opset21.Unsqueeze(scores, constant(value_ints=[1])),
        constant(value_ints=[_ALL]),
        constant(value_floats=[overlap]),
        constant(value_floats=[0.0]),
    )
    places = opset21.Gather(found, constant(value_ints=[0, 2]), axis=1)
    group = opset21.Gather(found, constant(value_int=0), axis=1)
    ones = opset21.Cast(opset21.Equal(group, group), to=1)
    marked = opset21.ScatterND(opset21.Sub(scores, scores), places, ones)
    return opset21.Cast(marked, to=9)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.tiersplit_import.suppress.default: _translate}
"""What the exporter makes of it."""
