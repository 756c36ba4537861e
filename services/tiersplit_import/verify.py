"""Whether two forms of a model compute the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.net import Array
from tiersplit_import.probe import random_inputs

LIMIT = 1e-4
"""Largest difference that is accepted, relative to the largest absolute value of the output."""

VERIFY_BATCHES = (1, 5)
Forward = Callable[[Mapping[str, Array]], Sequence[Array]]


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference over all outputs: absolute, and relative to the output's largest absolute value."""

    absolute: float = 0.0
    relative: float = 0.0


def compare(expected: Sequence[Array], got: Sequence[Array], keys: Sequence[str]) -> Difference:
    """The largest difference between two answers.

    Raises:
        ModelError: an output is not finite, all zeros, of another shape, or further off than `LIMIT`.
    """
    worst = Difference()
    for key, wanted, found in zip(keys, expected, got, strict=True):
        difference = _compare(np.asarray(wanted), np.asarray(found), f"output {key}")
        worst = Difference(max(worst.absolute, difference.absolute), max(worst.relative, difference.relative))
    return worst


def _compare(wanted: Array, found: Array, path: str) -> Difference:
    if wanted.shape != found.shape:
        raise ModelError(f"the imported model gives shape {found.shape}, the original {wanted.shape}", path)
    one, other = wanted.astype(np.float64), found.astype(np.float64)
    if not np.all(np.isfinite(one)) or not np.all(np.isfinite(other)):
        raise ModelError("the model computes numbers that are not finite; check its weights", path)
    scale = float(np.max(np.abs(one), initial=0.0))
    if scale == 0.0:
        raise ModelError("the model computes zeros only, so nothing can be checked; check its weights", path)
    absolute = float(np.max(np.abs(one - other), initial=0.0))
    if absolute > LIMIT * scale:
        raise ModelError(f"the imported model is off by {absolute:.3g} ({absolute / scale:.1e} relative)", path)
    return Difference(absolute, absolute / scale)


def verify(
    reference: Forward, imported: Forward, inputs: Sequence[TensorSpec], keys: Sequence[str], seed: int
) -> Difference:
    """The largest difference between a source and its imported form at `VERIFY_BATCHES`; errors as `compare`."""
    worst = Difference()
    for batch in VERIFY_BATCHES:
        feeds = random_inputs(inputs, batch, seed)
        difference = compare(reference(feeds), imported(feeds), keys)
        worst = Difference(max(worst.absolute, difference.absolute), max(worst.relative, difference.relative))
    return worst
