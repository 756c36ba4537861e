"""Plans whose first tier runs layers at fewer bits: which ones to rate, and which ones to add to a surface."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from tiersplit_control.intent import Intent
from tiersplit_control.quality import Quality, wanted_forms
from tiersplit_core.cost.problem import Problem
from tiersplit_core.planning.autosplit.accurate import AccuratePlans, accurate_plans
from tiersplit_core.planning.build import form_seconds_in
from tiersplit_core.planning.conditions import Conditions
from tiersplit_core.planning.look_up import Surface, SurfaceEntry
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.quantised_terms import quantised_terms, runs_on_first_tier
from tiersplit_core.planning.variants import with_form
from tiersplit_core.profile.batches import form_seconds
from tiersplit_core.profile.layers import TierProfile
from tiersplit_core.quantization.forms import RunForm

MAX_QUANTISED = 4
"""Plans with bit widths in a surface; each keeps variants of segments in the first tier's memory."""
BANDWIDTH_FACTORS = (0.1, 0.32, 1.0, 3.2, 10.0)
"""Where plans with bit widths are looked for: at so many times the bandwidth that is believed of all links."""
_GRID = 6
_LOADS = (0.5, 1.0, 4.0)

ProblemAt = Callable[[int], Problem]
"""The planning problem at a batch size, without variants."""


@dataclass(frozen=True)
class Quantising:
    """How plans with bit widths are looked for.

    Attributes:
        intent: what is asked for.
        quality: what is known about accuracy.
        first: the first tier's profile.
        problem_at: the problem per batch size.
    """

    intent: Intent
    quality: Quality
    first: TierProfile
    problem_at: ProblemAt

    @property
    def forms(self) -> tuple[RunForm, ...]:
        """The forms that are worth looking at: packed weights are slower, and there for what does not fit as bytes."""
        wanted = (form for form in wanted_forms(self.intent) if form is RunForm.INT8 or not self._fits_as_bytes)
        return tuple(form for form in wanted if form_seconds(self.first, form, self.intent.batches[0]))

    @cached_property
    def _fits_as_bytes(self) -> bool:
        """Whether the first tier could hold the whole model with every layer that may be at its widest bits."""
        problem = self._problem(RunForm.INT8, self.intent.batches[0])
        widest = {layer.name: layer.variants[-1] for layer in problem.layers if layer.variants}
        widths = {name: (variant.weight_bits, variant.activation_bits) for name, variant in widest.items()}
        alone = Plan({layer.name: problem.tiers[0].name for layer in problem.layers}, widths)
        return quantised_terms(problem, alone) is not None

    def plans(self) -> AccuratePlans:
        """The fastest accurate plans with bit widths at several bandwidths, as far as accuracies are known."""
        least = self.quality.least(self.intent)
        if least is None or not self.quality.may_quantise(self.intent):
            return AccuratePlans()
        found = [
            accurate_plans(self._conditions(form), form, self.quality.accuracies, least, SolverOptions())
            for form in self.forms
        ]
        chosen = [plan for plans in found for plan in plans.chosen]
        unrated = [plan for plans in found for plan in plans.unrated]
        return AccuratePlans(tuple(chosen[:MAX_QUANTISED]), tuple(unrated))

    def entries(self, plans: Iterable[Plan]) -> Iterator[SurfaceEntry]:
        """The entries of plans with bit widths that fit the memory at some batch size."""
        for plan in plans:
            problems = {batch: self._problem(plan.form, batch) for batch in self.intent.batches}
            terms = {batch: quantised_terms(problem, plan) for batch, problem in problems.items()}
            fitting = {batch: found for batch, found in terms.items() if found is not None}
            if fitting:
                alone = runs_on_first_tier(problems[self.intent.batches[0]], plan)
                yield SurfaceEntry(plan, fitting, fallback=alone)

    def _problem(self, form: RunForm, batch: int) -> Problem:
        problem, statistics = self.problem_at(batch), self.quality.statistics
        if statistics is None:
            return problem
        seconds = form_seconds_in(problem, self.first, form)
        return with_form(problem, statistics, form, seconds, self.intent.weight_bits, self.intent.activation_bits)

    def _conditions(self, form: RunForm) -> Iterator[Problem]:
        problem = self._problem(form, self.intent.batches[0])
        for factor in BANDWIDTH_FACTORS:
            links = (replace(link, bandwidth_bps=link.bandwidth_bps * factor) for link in problem.links)
            yield replace(problem, links=tuple(links))


def with_entries(surface: Surface, added: Iterable[SurfaceEntry]) -> Surface:
    """A surface with more plans, without those that are best nowhere on a grid of its box any more.

    Plans that need no link stay, and so does the last tier alone, to compare with; of plans with bit widths no more is
    said than that they were the fastest accurate ones where they were looked for.
    """
    found = {entry.plan.digest: entry for entry in (*surface.entries, *added)}
    joined = replace(surface, entries=tuple(found.values()))
    best = _best_somewhere(joined)
    last = surface.tiers[-1]
    kept = tuple(
        entry
        for digest, entry in found.items()
        if digest in best or entry.fallback or set(entry.plan.placement.values()) == {last}
    )
    scope = f"{surface.scope}, among plans without bit widths" if surface.entries else surface.scope
    return replace(surface, entries=kept, scope=scope)


def _best_somewhere(surface: Surface) -> set[str]:
    links = [_between(least, most) for least, most in surface.box.bandwidth_bps]
    loads = [sorted({min(max(load, low), high) for load in _LOADS}) for low, high in surface.box.load]
    points = product(surface.batches, product(*links), product(*loads))
    conditions = (Conditions(bandwidths, found, batch) for batch, bandwidths, found in points)
    return {surface.best(condition).plan.digest for condition in conditions}


def _between(least: float, most: float) -> list[float]:
    """Bandwidths from the least to the most, each larger by the same factor."""
    step = (most / least) ** (1 / (_GRID - 1))
    return list(dict.fromkeys(least * step**i for i in range(_GRID)))
