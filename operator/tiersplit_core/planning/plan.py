"""A plan: which layer runs on which tier."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Plan:
    """A placement of every layer.

    Attributes:
        placement: tier name per layer name, in execution order.
    """

    placement: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """`sha256:…` of the placement: the name of the plan wherever plans are exchanged."""
        canonical = json.dumps(dict(self.placement), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    def layers_on(self, tier: str) -> tuple[str, ...]:
        """The layers that `tier` runs, in execution order."""
        return tuple(name for name, place in self.placement.items() if place == tier)
