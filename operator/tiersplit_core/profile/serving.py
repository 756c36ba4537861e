"""What a tier spends on a request besides running layers, so that predicted seconds are those that requests see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiersplit_core.errors import ProfileError


@dataclass(frozen=True, slots=True)
class Overhead:
    """Seconds that something costs each time, and per byte.

    Attributes:
        fixed_s: seconds, however large it is.
        s_per_byte: seconds per byte.
    """

    fixed_s: float = 0.0
    s_per_byte: float = 0.0

    def seconds(self, size_bytes: float) -> float:
        """What `size_bytes` cost."""
        return self.fixed_s + self.s_per_byte * size_bytes


@dataclass(frozen=True, slots=True)
class AtHand:
    """What a limited processor still has of its period for the layers of a request that follows a rest.

    Attributes:
        processors: the limit, below 1.
        request_s: processor seconds left where the request was taken from a client.
        receive_s: likewise where activations were received.
    """

    processors: float
    request_s: float
    receive_s: float

    def saved_s(self, steady_s: float, *, first: bool) -> float:
        """Seconds by which work is done sooner than the limit allows in the long run.

        Args:
            steady_s: seconds of the work where it follows other work.
            first: it belongs to a request that was taken from a client.
        """
        left_s = self.request_s if first else self.receive_s
        return min(left_s, steady_s * self.processors) * (1 / self.processors - 1)


@dataclass(frozen=True, slots=True)
class ServingProfile:
    """What serving costs on one tier, measured over a medium that costs nothing.

    Attributes:
        request: taking a request from a client and answering it, by the bytes of the request.
        send: handing activations on to the next tier and taking the answer, by the bytes of the activations.
        receive: being handed activations and answering, likewise.
        receipt: what of sending and receiving passes until the sender has the receipt, where both ends are this tier:
            transmissions that a sender observes contain it, so it is taken out of what links are estimated from.
        at_hand: what a limit leaves to layers after a rest; None where nothing limits a processor to a share.
    """

    request: Overhead = Overhead()
    send: Overhead = Overhead()
    receive: Overhead = Overhead()
    receipt: Overhead = Overhead()
    at_hand: AtHand | None = None


def fit_overhead(sizes_bytes: Sequence[float], seconds: Sequence[float]) -> Overhead:
    """Fixed seconds and seconds per byte of what takes `seconds` at these sizes.

    Least squares on (1, bytes), each sample weighted by 1/seconds so that small ones count as much as large ones;
    neither part is negative.

    Args:
        sizes_bytes: at least two different ones.
        seconds: what each took.

    Raises:
        ProfileError: the lengths differ, or all sizes are equal.
    """
    sizes, taken = np.asarray(sizes_bytes, float), np.asarray(seconds, float)
    if sizes.shape != taken.shape or len(np.unique(sizes)) < 2:
        raise ProfileError("an overhead needs what at least two sizes take, each with its seconds")
    weight = 1 / np.maximum(taken, 1e-9)
    design = np.stack([np.ones_like(sizes), sizes], axis=1) * weight[:, None]
    (fixed, slope), *_ = np.linalg.lstsq(design, taken * weight)
    if fixed < 0 or slope < 0:
        fixed, slope = (0.0, _ratio(sizes, taken, weight)) if fixed < 0 else (float(np.median(taken)), 0.0)
    return Overhead(max(float(fixed), 0.0), max(float(slope), 0.0))


def _ratio(sizes: np.ndarray, taken: np.ndarray, weight: np.ndarray) -> float:
    """Slope of the line through the origin, fitted with the same weights."""
    return float(np.sum(sizes * taken * weight**2) / np.sum((sizes * weight) ** 2))
