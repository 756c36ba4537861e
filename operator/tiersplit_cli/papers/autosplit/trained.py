"""Section 5.2's experiment on networks that somebody trained: thresholds of measured accuracy in place of an error E.

The digits are those of examples/digits, the plates those of examples/plates; hardware, uplink and bit widths are the
paper's, as for the networks that nobody trained. Results that no layer reads are handed out as they are.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from tiersplit_cli.papers.autosplit.search import frontier, outcomes_by_error, reference_error
from tiersplit_cli.papers.autosplit.simulated import Simulated, numbered, results_of, seconds_of, simulated
from tiersplit_cli.papers.measured import COMMAND, Widths
from tiersplit_cli.papers.rows import Row, percent
from tiersplit_cli.papers.stored import stored_accuracies
from tiersplit_core.cost.arrays import Ints
from tiersplit_core.cost.latency import crossings
from tiersplit_core.cost.widths import named_widths
from tiersplit_core.planning.autosplit.joint import solve_accurately
from tiersplit_core.planning.guidelines import Outcome, outcome_of
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.solution import Solution
from tiersplit_core.profile.systolic import ORIGINAL_BITS

NETWORKS = {"digits": "digits", "plates": "plates, small LSTM", "plates_large": "plates, large LSTM"}
DROPS = {0.0: "100%", 0.01: "57%", 0.05: "43%", 0.1: "43%"}
"""Thresholds of accuracy, and the paper's latency of ResNet-50 over CLOUD-ONLY's at each."""
METHODS = {"U2": "u2", "U4": "u4", "U6": "u6", "U8": "u8", "QDMP": "qdmp", "CLOUD16": "cloud16"}
"""Methods that have one answer, and their solvers."""
COORDINATES = "the box's coordinates do not bear 8 bits, so edge-only at the paper's widths misses the plates"
_STEM = "behind convolution 2 the plates' stem hands on 20,480 numbers, a sixth of the frame's"
_WHY = {
    "digits": "behind convolution 2 the digits' network hands on 1,728 numbers, a sixteenth of the picture's",
    "plates": f"{_STEM}; {COORDINATES}",
    "plates_large": f"{_STEM}; {COORDINATES}",
}
_ID = "autosplit/section-5.2-trained"
_ROUNDING = 1e-9
_KEPT_BITS = 32


@dataclass(frozen=True, slots=True)
class Rated:
    """A plan whose accuracy was measured.

    Attributes:
        tiers: a tier per layer.
        widths: bit widths of the edge's layers as they ran when accuracy was measured.
        seconds: of one request on the simulated hardware.
        error: its summed distortion.
        accuracy: the share of the validation data that it answers rightly.
    """

    tiers: Ints
    widths: Widths
    seconds: float
    error: float
    accuracy: float


@dataclass(frozen=True)
class Experiment:
    """A trained network on the paper's hardware.

    Attributes:
        model: its name.
        accuracy: the share that it answers rightly with layers at bit widths.
    """

    model: str
    accuracy: Callable[[Widths], float]

    @cached_property
    def on(self) -> Simulated:
        """The planning problem."""
        return simulated(self.model)

    @cached_property
    def whole(self) -> float:
        """The share of the network as it is."""
        return self.accuracy({})

    @cached_property
    def answers(self) -> tuple[Rated, ...]:
        """AUTO-SPLIT's answers over all E, fastest first; the edge's layers have one of the paper's widths."""
        layers = self.on.problem.layers
        return tuple(
            self._rated(one.split.tiers, named_widths(layers, one.choice), one.objective_s, one.distortion)
            for one in frontier(self.model)
        )

    def fastest(self, drop: float) -> Rated:
        """The fastest of the answers that loses no more accuracy than `drop`, a share of all samples."""
        return next(answer for answer in self.answers if answer.accuracy >= self._least(drop))

    def with_floats(self, drop: float) -> Rated:
        """The same where layers of the edge may stay as they are, too."""
        on = self.on
        found = solve_accurately(
            on.arrays, SolverOptions(), lambda plan: self.accuracy(self._as_run(plan.widths)), self._least(drop)
        )
        return self._of_solution(found)

    def of_method(self, solver: str) -> Rated:
        """The answer of a solver that has one."""
        return self._of_solution(self.on.solved(solver))

    def _of_solution(self, found: Solution) -> Rated:
        plan = found.plan or Plan({})
        tiers = self.on.arrays.tiers_of(plan.placement)
        return self._rated(tiers, plan.widths, seconds_of(found), found.distortion or 0.0)

    def _rated(self, tiers: Ints, widths: Widths, seconds: float, error: float) -> Rated:
        run = self._as_run(widths)
        return Rated(tiers, run, seconds, error, self.accuracy(run))

    def _as_run(self, widths: Widths) -> Widths:
        kept = results_of(self.on.graph)
        return {name: (bits[0], _KEPT_BITS) if name in kept else bits for name, bits in widths.items()}

    def _least(self, drop: float) -> float:
        return self.whole - drop - _ROUNDING


@cache
def experiment(model: str) -> Experiment:
    """The experiment with the accuracies that were measured beforehand."""
    return Experiment(model, stored_accuracies(model).of)


def rows() -> list[Row]:
    """Per network: the answer at each threshold, the sweep of E, and the methods that have one answer."""
    return [row for model in NETWORKS for row in rows_of(experiment(model), _note(model))]


def rows_of(found: Experiment, note: str) -> Iterator[Row]:
    """One network's rows; `note` says what its accuracy is."""
    what, where = NETWORKS[found.model], f"{_ID}/{found.model}"
    for drop, paper in DROPS.items():
        at, quantity = percent(drop), f"{what}: the fastest answer that loses no more than {percent(drop)}"
        printed = f"{paper} (ResNet-50)"
        yield Row(f"{where}/{at}", quantity, printed, described(found, found.fastest(drop)), False, note)
        floats = described(found, found.with_floats(drop))
        yield Row(f"{where}/{at}/floats", f"{quantity}, with floats on the edge", "not printed", floats, False, note)
    swept = outcomes_by_error(frontier(found.model), found.on.error_of(8))
    yield Row(f"{where}/outcomes", f"{what}: outcomes over E", "not printed", swept, False, note)
    yield Row(f"{where}/error", f"{what}: E at which accuracy is lost", "not printed", _lost(found), False, note)
    for name, solver in METHODS.items():
        ours = described(found, found.of_method(solver))
        yield Row(f"{where}/{name}", f"{what}: {name}", "not printed", ours, False, note)


def _note(model: str) -> str:
    measured = stored_accuracies(model)
    one = percent(1 / measured.samples)
    how = f"{measured.metric} on {measured.samples} samples, each {one}, measured by {COMMAND}"
    return f"not the paper's network: {_WHY[model]}. {how}"


def described(found: Experiment, rated: Rated) -> str:
    """Where a plan runs, its bits, its latency and its accuracy."""
    share, whole = percent(rated.seconds / found.on.cloud_only_s), percent(found.whole)
    where = "; ".join(part for part in (_where(found, rated), _bits(found, rated)) if part)
    return f"{where}: latency {share} of CLOUD-ONLY's, accuracy {percent(rated.accuracy)} of {whole}"


def _where(found: Experiment, rated: Rated) -> str:
    outcome = outcome_of(rated.tiers.tolist())
    if outcome is not Outcome.SPLIT:
        return outcome.value
    last = found.on.graph.layers[int((rated.tiers == 0).nonzero()[0][-1])].name
    return f"split behind {numbered(last, found.on)}"


def _bits(found: Experiment, rated: Rated) -> str:
    """Bits of the weights on the edge and of what crosses the link."""
    on, crossing = found.on, crossings(found.on.arrays, rated.tiers)[0, 1:]
    own = {layer.name: rated.widths.get(layer.name, (ORIGINAL_BITS, ORIGINAL_BITS)) for layer in on.graph.layers}
    head = [name for name, tier in zip(own, rated.tiers, strict=True) if tier == 0]
    weights = [own[name][0] for name in head if on.statistics[name].weight_elements]
    sent = [own[name][1] for name, crosses in zip(own, crossing, strict=True) if crosses]
    spans = {"weights": weights, "link": sent}
    return ", ".join(f"{what} {_span(bits)} bits" for what, bits in spans.items() if bits)


def _span(bits: list[int]) -> str:
    low, high = min(bits), max(bits)
    return f"{low}" if low == high else f"{low} to {high}"


def _lost(found: Experiment) -> str:
    """Up to which E no answer loses more than each threshold, and what the E that stands for thresholds loses."""
    unit, reference = found.on.error_of(8), reference_error(found.on)
    kept = ", ".join(f"{percent(drop)} up to {end / unit:.3g}" for drop, end in _ends(found).items())
    at = next(answer for answer in found.answers if answer.error <= reference)
    lost = percent(found.whole - at.accuracy)
    return f"in D(U8): at most {kept}; {lost} at D(U6) = {reference / unit:.3g}"


def _ends(found: Experiment) -> Mapping[float, float]:
    """The largest error per threshold up to which every answer keeps it."""
    ends = dict.fromkeys(DROPS, 0.0)
    for drop in DROPS:
        for answer in reversed(found.answers):
            if found.whole - answer.accuracy > drop + _ROUNDING:
                break
            ends[drop] = answer.error
    return ends
