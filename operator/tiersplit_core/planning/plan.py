"""A plan: which layer runs on which tier, and at which bit widths."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Plan:
    """A placement of every layer, with the bit widths of those that are quantised.

    Attributes:
        placement: tier name per layer name, in execution order.
        widths: (weight bits, activation bits) per layer that does not run at its own widths.
    """

    placement: Mapping[str, str]
    widths: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """`sha256:…` of the plan: its name wherever plans are exchanged."""
        # Without widths the placement alone is hashed: layer names cannot be mistaken for the two keys.
        named = {"placement": dict(self.placement), "widths": dict(self.widths)} if self.widths else self.placement
        canonical = json.dumps(named, sort_keys=True, separators=(",", ":"), default=dict)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    def layers_on(self, tier: str) -> tuple[str, ...]:
        """The layers that `tier` runs, in execution order."""
        return tuple(name for name, place in self.placement.items() if place == tier)
