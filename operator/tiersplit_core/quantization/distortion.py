"""How far a quantised model's answers are from the model's own: the metrics beside a layer's own squared error.

`model` are outputs of the model as it is, `quantised` those with something quantised, samples along the first axis.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Outputs = NDArray[Any]


def output_error(model: _Outputs, quantised: _Outputs) -> float:
    """Mean squared error over the outputs' elements."""
    return float(np.mean((np.asarray(model, np.float64) - np.asarray(quantised, np.float64)) ** 2))


def cross_entropy_rise(model: _Outputs, quantised: _Outputs) -> float:
    """By how much the mean cross-entropy to the model's own best class rises.

    Never below 0: a model that becomes surer of its answers is not the better for it. Scores are logits of shape
    (samples, classes) or (samples, classes, …), each place of which is a sample.
    """
    before, after = _log_shares(model), _log_shares(quantised)
    best = before.argmax(axis=1)[:, None]
    rise = np.take_along_axis(before, best, 1) - np.take_along_axis(after, best, 1)
    return max(float(rise.mean()), 0.0)


def divergence(model: _Outputs, quantised: _Outputs) -> float:
    """Mean Kullback-Leibler divergence Σ p·log(p/q) of the quantised scores' softmax from the model's."""
    before, after = _log_shares(model), _log_shares(quantised)
    return max(float(np.sum(np.exp(before) * (before - after), axis=1).mean()), 0.0)


def mean_trace(loss: Callable[[NDArray[np.float64]], float], elements: int, probes: int, step: float) -> float:
    """The mean of the diagonal of a loss's Hessian where the loss is least, from values of the loss alone.

    Hutchinson's estimator: tr(H) = E[vᵀHv] for v of random signs; with the gradient 0 and the loss 0 at the least,
    vᵀHv = (loss(step·v) + loss(−step·v)) / step² up to the fourth order in `step` (HAWQ-V2, Dong et al. 2020, §3).

    Args:
        loss: of a shift of the parameters, 0 for no shift; a divergence of the outputs from the model's own is such.
        elements: how many parameters there are.
        probes: how many directions are tried.
        step: length of the shift per parameter.
    """
    draw = np.random.default_rng([elements, probes])
    found = []
    for _ in range(probes):
        signs = np.where(draw.integers(0, 2, elements) > 0, np.float64(1), np.float64(-1))
        found.append((loss(step * signs) + loss(-step * signs)) / step**2)
    return float(np.mean(found)) / elements


def _log_shares(scores: _Outputs) -> NDArray[np.float64]:
    """Logarithms of the softmax over the second axis."""
    wide = np.asarray(scores, np.float64)
    rows = np.moveaxis(wide, 1, -1).reshape(-1, wide.shape[1])
    shifted = rows - rows.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs
