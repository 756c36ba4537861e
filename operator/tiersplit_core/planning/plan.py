"""A plan: which layer runs on which tier, and at which bit widths."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.statistics import FLOAT_BITS


@dataclass(frozen=True)
class Plan:
    """A placement of every layer, with the bit widths of those that are quantised.

    Attributes:
        placement: tier name per layer name, in execution order.
        widths: (weight bits, activation bits) per layer that does not run at its own widths.
        form: how the layers of `widths` run.
    """

    placement: Mapping[str, str]
    widths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    form: RunForm = RunForm.INT8

    @cached_property
    def digest(self) -> str:
        """`sha256:…` of the plan: its name wherever plans are exchanged."""
        # Without widths the placement alone is hashed: layer names cannot be mistaken for the other keys.
        named: Mapping[str, Any] = self.placement
        if self.widths:
            named = {"placement": dict(self.placement), "widths": dict(self.widths)}
            named |= {} if self.form is RunForm.INT8 else {"form": self.form.value}
        canonical = json.dumps(named, sort_keys=True, separators=(",", ":"), default=dict)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    def layers_on(self, tier: str) -> tuple[str, ...]:
        """The layers that `tier` runs, in execution order."""
        return tuple(name for name, place in self.placement.items() if place == tier)

    def sent_bits(self, layer: str) -> int | None:
        """Bits per element of a layer's value on a link; None where it travels as it is."""
        bits = self.widths[layer][1] if layer in self.widths else FLOAT_BITS
        return bits if bits < FLOAT_BITS else None
