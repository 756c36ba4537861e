"""The golden check: a plan may be selected once its stages have answered the golden request correctly, end to end."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tiersplit_core.errors import BundleError, OperationError
from tiersplit_stage.plans import Origin, StagePlan
from tiersplit_stage.pool import Blobs
from tiersplit_wire.v1 import route_pb2 as pb

_TOLERANCE = ((32, 1e-3), (16, 2e-2), (8, 0.3), (0, 1.0))
"""How far, as a share of its norm, a plan's answer may be from the model's, by the plan's narrowest width."""

_OWN_TOLERANCE = 0.1
"""The same from what its own segments answered before: another processor's rounding moves few values by a step."""

_FLOOR = 1e-6


class Golden:
    """The golden request and its answer, by the names of the graph's tensors.

    Args:
        store: the bundle's blobs.
        origin: names the blobs, safetensors files with keys `input/<name>` and `output/<name>`, and its model maps
            callers' names to tensor names.

    Raises:
        BundleError: a blob is missing, damaged, or lacks an input or output of the model.
    """

    def __init__(self, store: Blobs, origin: Origin) -> None:
        found: dict[str, NDArray[Any]] = {}
        for digest in origin.golden:
            found.update(_load(store, digest))
        self.inputs = _named(found, "input", origin.model.inputs)
        self.outputs = _named(found, "output", origin.model.outputs)
        shape = next(iter(self.inputs.values())).shape
        self.rows = shape[0] if shape else 1

    def check(self, answers: Mapping[str, NDArray[Any]], plan: StagePlan) -> None:
        """Compare a plan's answers with the golden ones.

        Args:
            answers: output arrays by tensor name.
            plan: its narrowest width decides the tolerance, and whose answer the golden one is.

        Raises:
            OperationError: an answer is missing, has another shape, is not finite or differs too much.
        """
        tolerance = _tolerance(plan)
        for name, expected in self.outputs.items():
            got = answers.get(name)
            if got is None or got.shape != expected.shape:
                shape = None if got is None else got.shape
                raise _refused(plan, f"{name} has shape {shape}, not {expected.shape}")
            error = _difference(got, expected)
            if not error <= tolerance:
                raise _refused(plan, f"{name} differs by {error:.3g} of its norm, allowed is {tolerance:g}")


def _refused(plan: StagePlan, reason: str) -> OperationError:
    whose = "what its own segments answered when it was rated" if plan.own_golden else "the model's answer"
    return OperationError(f"plan {plan.digest}, golden request, compared with {whose}: {reason}")


def _tolerance(plan: StagePlan) -> float:
    allowed = next(limit for least, limit in _TOLERANCE if plan.bits >= least)
    return min(allowed, _OWN_TOLERANCE) if plan.own_golden else allowed


def _load(store: Blobs, digest: str) -> dict[str, NDArray[Any]]:
    try:
        return load_file(store.path(digest))
    except SafetensorError as error:
        raise BundleError(f"is no safetensors file: {error}", digest) from error
    except OSError as error:
        raise OperationError(f"the golden blob {digest} cannot be read: {error}") from error


def _difference(got: NDArray[Any], expected: NDArray[Any]) -> float:
    if got.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(got, expected) else np.inf
    real, wanted = got.astype(np.float64), expected.astype(np.float64)
    return float(np.linalg.norm(real - wanted) / (np.linalg.norm(wanted) + _FLOOR))


def _named(found: Mapping[str, NDArray[Any]], kind: str, tensors: Sequence[pb.ModelTensor]) -> dict[str, NDArray[Any]]:
    named = {}
    for tensor in tensors:
        for name in (tensor.name, tensor.tensor):
            if f"{kind}/{name}" in found:
                named[tensor.tensor] = found[f"{kind}/{name}"]
                break
        else:
            raise BundleError(f"the golden blobs have no {kind}/{tensor.name}", "route.golden_blobs")
    if not named:
        raise BundleError(f"the model has no {kind}", "route.model")
    return named
