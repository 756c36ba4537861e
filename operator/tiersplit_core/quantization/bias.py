"""Bias correction: rounding the weights shifts what a channel computes on average; its bias takes the shift back.

For y = Σ w·x + bias the expected shift is Σ (w_q − w)·E[x] (Nagel et al. 2019, §4.2; Banner et al. 2019, §4).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def convolution_shift(difference: NDArray[Any], means: NDArray[Any], groups: int = 1) -> NDArray[np.float64]:
    """The expected shift of each output channel of a convolution, as if its input had no border.

    Args:
        difference: rounded minus real weights, of shape (outputs, inputs / groups, …).
        means: the mean of each input channel.
        groups: outputs and inputs are divided into as many groups, each reading its own.

    Returns:
        One number per output channel; subtract it from the bias.
    """
    per_input = np.asarray(difference, np.float64).reshape(*difference.shape[:2], -1).sum(axis=2)
    rows = per_input.reshape(groups, -1, per_input.shape[1])
    shift: NDArray[np.float64] = np.einsum("goi,gi->go", rows, np.asarray(means, np.float64).reshape(groups, -1))
    return shift.reshape(-1)


def product_shift(difference: NDArray[Any], means: NDArray[Any]) -> NDArray[np.float64]:
    """The expected shift of each output of x·W, `difference` of shape (inputs, outputs)."""
    shift: NDArray[np.float64] = np.asarray(means, np.float64) @ np.asarray(difference, np.float64)
    return shift
