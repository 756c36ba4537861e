"""Modules that do nothing at inference, kept as layers of their own where every module counts."""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset21
from torch import nn

_NAMES = frozenset({"Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "StochasticDepth"})


@torch.library.custom_op("tiersplit_import::keep", mutates_args=())
def _keep(value: torch.Tensor) -> torch.Tensor:
    return value.clone()


@_keep.register_fake
def _(value: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(value)


class Kept(nn.Module):
    """Stands where a module that does nothing stood; the exporter would leave it out."""

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """`value` as it is."""
        kept: torch.Tensor = _keep(value)
        return kept


def _translate(value: Any) -> Any:
    return opset21.Identity(value)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.tiersplit_import.keep.default: _translate}
"""What the exporter makes of a kept module."""


def keep_modules(module: nn.Module) -> None:
    """Replace every module inside `module` that does nothing at inference by one that is exported."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ in _NAMES and not list(child.children()):
                setattr(parent, name, Kept())
