"""A bound on split and bit widths together over any number of tiers: minimum cuts with a price on distortion.

Equation (4) is moved into the objective with a price μ (Lagrangian relaxation: Everett, "Generalized Lagrange
multiplier method", 1963; Geoffrion, 1974), memory is left aside, and a value crosses at the fewest bytes that any width
gives it. Then each layer takes the width on each tier that is best there, and the rest is a minimum cut. The bound is
concave in μ; its best price is found between one at which plans err too much and one at which they do not, where the
two plans' lines cross (Kelley, "The cutting-plane method for solving convex programs", 1960).
Complexity: about ten minimum cuts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.latency import crossings
from tiersplit_core.cost.problem import CANNOT_RUN_S
from tiersplit_core.cost.widths import MEETS, WidthArrays
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.solution import NOTHING_S

_MOST_CUTS = 40
_MOST_PRICES = 80
_STEEPER = 16.0
_CLOSE = 1e-12
_ROUNDING = 1e-14
_NO_ERROR = 1e-100
"""An error tolerance below this has no price that a number could be."""


@dataclass(frozen=True, slots=True)
class PricedCut:
    """The minimum cut at one price of distortion.

    Attributes:
        price: μ, seconds per distortion.
        limit: E.
        tiers: its placement, shape (L,).
        choice: its widths, shape (L,).
        distortion: what they err.
        lower_s: no plan is faster.
        floors: no plan that has a layer on a tier at a width is faster, in seconds, shape (L, V, M).
    """

    price: float
    limit: float
    tiers: Ints
    choice: Ints
    distortion: float
    lower_s: float
    floors: Floats

    @property
    def seconds(self) -> float:
        """The relaxed seconds of the plan at no price."""
        return self.lower_s + self.price * (self.limit - self.distortion)


@dataclass(frozen=True)
class Relaxation:
    """The problem without memory, equation (4) as a price.

    Attributes:
        arrays: the problem; its objective is latency.
        widths: what its layers may run as.
        usable: which of that each tier may run, shape (L, V, M).
    """

    arrays: ProblemArrays
    widths: WidthArrays
    usable: Bools

    @property
    def limit(self) -> float:
        """E of equation (4) as plans are checked against it; infinite where there is none."""
        most = self.arrays.problem.max_distortion
        return np.inf if most is None else most * (1 + MEETS)

    def cut(self, price: float) -> PricedCut:
        """The minimum cut at a price."""
        run_s = self._run_s(price)
        least_s = run_s.min(axis=1)
        answer = self._model.solve(replace(self._unpriced, seconds=np.minimum(least_s, CANNOT_RUN_S)))
        choice = run_s[np.arange(len(run_s)), :, answer.tiers].argmin(axis=1)
        paid_s = price * self.limit if price else 0.0
        lower_s = answer.lower_s - paid_s - _ROUNDING * (answer.lower_s + paid_s)
        extra_s = np.where(self.usable, run_s - np.where(np.isfinite(least_s), least_s, 0.0)[:, None], np.inf)
        errs = self.widths.total_distortion(choice)
        return PricedCut(price, self.limit, answer.tiers, choice, errs, lower_s, lower_s + extra_s)

    def cuts(self) -> Iterator[PricedCut]:
        """Cuts at better and better prices; the one without a price alone where its plan errs little enough."""
        low = self.cut(0.0)
        yield low
        if low.distortion <= self.limit or self.limit < _NO_ERROR:
            return
        price = max(low.lower_s, NOTHING_S) / self.limit
        for _ in range(_MOST_CUTS):
            found = self.cut(price)
            yield found
            if found.distortion <= self.limit:
                yield from self._between(low, found)
                return
            low, price = found, price * _STEEPER

    def _between(self, low: PricedCut, high: PricedCut) -> Iterator[PricedCut]:
        """Cuts at prices between one at which plans err too much and one at which they do not."""
        for _ in range(_MOST_CUTS):
            price = (high.seconds - low.seconds) / (low.distortion - high.distortion)
            if not low.price < price < high.price:
                return
            found = self.cut(price)
            yield found
            if found.lower_s >= (low.seconds + price * (low.distortion - self.limit)) * (1 - _CLOSE):
                return
            low, high = (low, found) if found.distortion <= self.limit else (found, high)

    def choice_on(self, tiers: Ints) -> Ints:
        """Good widths for a placement, shape (L,): those of its own price of distortion, then improved one by one."""
        seconds = self._placed_s(tiers)
        errors = self.widths.distortion
        dear = np.where(np.isfinite(seconds), errors, np.inf).argmin(axis=1)
        low, high = 0.0, np.inf
        price = 0.0
        for _ in range(1 if self.limit < _NO_ERROR else _MOST_PRICES):
            choice = (seconds + price * errors).argmin(axis=1)
            if self.widths.total_distortion(choice) <= self.limit:
                dear, high = choice, price
            else:
                low = price
            if high <= low:
                break
            price = (low + high) / 2 if np.isfinite(high) else max(price * _STEEPER, self._first_price(seconds))
        return self._improved(dear, seconds)

    def _first_price(self, seconds: Floats) -> float:
        return float(np.ptp(seconds[np.isfinite(seconds)])) / self.limit

    def _improved(self, choice: Ints, seconds: Floats) -> Ints:
        """A choice, shape (L,), in which the widths that save most are taken as long as E leaves room for them."""
        rows, errors = np.arange(len(choice)), self.widths.distortion
        for _ in rows:
            room = self.limit - self.widths.total_distortion(choice)
            saved_s = seconds[rows, choice][:, None] - seconds
            fits = errors - errors[rows, choice][:, None] <= room
            layer, width = np.unravel_index(np.where(fits, saved_s, -np.inf).argmax(), saved_s.shape)
            if not saved_s[layer, width] > 0 or not fits[layer, width]:
                break
            choice = choice.copy()
            choice[layer] = width
        return choice

    @cached_property
    def _unpriced(self) -> ProblemArrays:
        """The problem of the minimum cut at no price."""
        seconds = np.minimum(self._run_s(0.0).min(axis=1), CANNOT_RUN_S)
        return replace(self.arrays, seconds=seconds, sent_bytes=self._least_sent_bytes())

    @cached_property
    def _model(self) -> CutModel:
        return CutModel(self._unpriced)

    def _run_s(self, price: float) -> Floats:
        """Seconds of each width on each tier with its priced distortion; infinite where it may not be."""
        return np.where(self.usable, self.widths.seconds + price * self.widths.distortion[:, :, None], np.inf)

    def _placed_s(self, tiers: Ints) -> Floats:
        """Seconds of each width on its layer's tier, with those of its value on links, shape (L, V)."""
        rows = np.arange(len(tiers))
        sent_s = self.arrays.s_per_byte @ crossings(self.arrays, tiers)[:, 1:]
        seconds = self.widths.seconds[rows, :, tiers] + self.widths.sent_bytes * sent_s[:, None]
        return np.where(self.usable[rows, :, tiers], seconds, np.inf)

    def _least_sent_bytes(self) -> Ints:
        most = np.iinfo(np.int64).max
        able: Bools = np.any(self.usable[:, :, :-1], axis=2)
        least = np.where(able, self.widths.sent_bytes, most).min(axis=1)
        return np.append(self.arrays.sent_bytes[0], np.where(np.any(able, axis=1), least, 0))


def relaxed_s(arrays: ProblemArrays, widths: WidthArrays) -> float:
    """Seconds that no split and no widths beat; the problem's objective is latency."""
    relaxation = Relaxation(arrays, widths, widths.usable(arrays.problem.max_distortion))
    return max(cut.lower_s for cut in relaxation.cuts())
