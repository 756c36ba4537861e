"""What plans take under the present conditions, by their terms alone: for those who hold a route, not a surface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.cost.problem import Objective
from tiersplit_core.planning.look_up import PlanTerms, terms_at


@dataclass(frozen=True)
class Outlook:
    """The plans of one surface.

    Attributes:
        terms: per plan digest and batch size, ascending; a plan lacks those at which it does not fit the memory.
        objective: what is minimised.
    """

    terms: Mapping[str, Mapping[int, PlanTerms]]
    objective: Objective = Objective.LATENCY

    @cached_property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that plans were costed at, ascending; between them seconds are interpolated."""
        return tuple(sorted({size for terms in self.terms.values() for size in terms}))

    def costs_s(self, links: Sequence[LinkEstimate], loads: Sequence[float], batch: int) -> dict[str, float]:
        """What each plan takes now, as `Surface.objective_s` says it.

        Args:
            links: as estimated, in order.
            loads: observed over profiled seconds per tier, in order.
            batch: clamped to the batch sizes that plans were costed at.

        Returns:
            Seconds by digest; infinite where a plan crosses a link that is down, or does not fit the memory.
        """
        return {digest: self._cost_s(terms, links, loads, batch) for digest, terms in self.terms.items()}

    def _cost_s(
        self, known: Mapping[int, PlanTerms], links: Sequence[LinkEstimate], loads: Sequence[float], batch: int
    ) -> float:
        if not known:
            return float("inf")
        size = min(max(batch, self.batches[0]), self.batches[-1])
        terms = terms_at(known, self.batches, size)
        return float("inf") if terms is None else seconds_of(terms, links, loads, self.objective)


def seconds_of(terms: PlanTerms, links: Sequence[LinkEstimate], loads: Sequence[float], objective: Objective) -> float:
    """The objective of a plan (design §4.1): all seconds for latency, the largest stage or link for throughput.

    Args:
        terms: of the plan.
        links: as estimated, in order.
        loads: observed over profiled seconds per tier, in order.
        objective: what is minimised.

    Returns:
        Seconds; infinite where the plan crosses a link that is down.
    """
    if any(trips and _carries_nothing(link) for trips, link in zip(terms.link_trips, links, strict=True)):
        return float("inf")
    computed = [load * seconds for load, seconds in zip(loads, terms.compute_s, strict=True)]
    crossing = zip(terms.link_bytes, terms.link_trips, links, strict=True)
    sent = [8.0 * size / link.bandwidth_bps + trips * link.latency_s for size, trips, link in crossing if trips]
    if objective is Objective.LATENCY:
        return sum(computed) + sum(sent)
    return max([*computed, *sent])


def _carries_nothing(link: LinkEstimate) -> bool:
    return link.down or not link.bandwidth_bps > 0
