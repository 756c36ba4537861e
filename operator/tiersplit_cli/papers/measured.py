"""Accuracies that were measured on a trained network, by the bit widths of its layers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiersplit_core.errors import InputError

COMMAND = "python -m benchmarks.papers.autosplit_accuracies"

Widths = Mapping[str, tuple[int, int]]
"""Weight and activation bits by layer; the others run as they are."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How often a trained network is right.

    Attributes:
        model: the network's name.
        metric: what is counted.
        samples: how many samples of validation data it is counted on.
        whole: the share of the network as it is.
        by_widths: the share at bit widths, by `key_of` them.
    """

    model: str
    metric: str
    samples: int
    whole: float
    by_widths: Mapping[str, float]

    def of(self, widths: Widths) -> float:
        """The share at these bit widths.

        Raises:
            InputError: they were not measured.
        """
        if not widths:
            return self.whole
        if key_of(widths) not in self.by_widths:
            raise InputError(f"{self.model}: bit widths that were not measured; run {COMMAND} {self.model}", "model")
        return self.by_widths[key_of(widths)]


def key_of(widths: Widths) -> str:
    """A digest of bit widths, whatever the order of the layers."""
    named = {name: list(bits) for name, bits in widths.items()}
    text = json.dumps(named, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def measured_to_json(found: Measured) -> dict[str, Any]:
    """The document that is stored."""
    plans = dict(sorted(found.by_widths.items()))
    return {"metric": found.metric, "samples": found.samples, "whole": found.whole, "plans": plans}


def measured_from_json(model: str, document: Mapping[str, Any]) -> Measured:
    """What `measured_to_json` wrote about a network."""
    return Measured(model, document["metric"], document["samples"], document["whole"], document["plans"])
