"""AUTO-SPLIT's guidelines for its users (appendix A): what a model's sizes alone say about the likely plan.

They are rules of thumb, so several may apply and disagree with each other and with the plan. The paper gives 50 MB and
416 pixels; "a large number of initial layers" is read as half of all, "deep" as 50 layers or more, and "thin" as less
than 1 MB of weights per layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tiersplit_core.cost.problem import Problem
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.units import format_bytes

SMALL_BYTES = 50_000_000
HIGH_RESOLUTION = 416
INITIAL_SHARE = 0.5
DEEP_LAYERS = 50
THIN_BYTES = 1_000_000


class Outcome(StrEnum):
    """Where a network runs."""

    EDGE_ONLY = "edge-only"
    CLOUD_ONLY = "cloud-only"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The sizes that the guidelines look at.

    Attributes:
        weight_bytes: bytes of all weights as floats.
        input_volume: elements of the input (or bytes, where the layers' are bytes).
        volumes: the same of what each layer hands on, in execution order.
        input_side: the longer side of the input picture in pixels; None where it is not known.
    """

    weight_bytes: int
    input_volume: int
    volumes: tuple[int, ...]
    input_side: int | None = None

    @property
    def wide_layers(self) -> int:
        """How many initial layers hand on more than the input is."""
        return next((i for i, volume in enumerate(self.volumes) if volume <= self.input_volume), len(self.volumes))


@dataclass(frozen=True, slots=True)
class Advice:
    """A guideline that applies to a model: what it makes likely, and why."""

    outcome: Outcome
    sentence: str


def facts_of_graph(graph: LayerGraph) -> ModelFacts:
    """The facts of a layer graph, per sample."""
    sides = [max(spec.shape[-2:]) for spec in graph.inputs if len(spec.shape) == 4]
    return ModelFacts(
        weight_bytes=sum(layer.weight_bytes for layer in graph.layers),
        input_volume=sum(spec.elements for spec in graph.inputs),
        volumes=tuple(layer.elements for layer in graph.layers),
        input_side=max(sides, default=None),
    )


def facts_of_problem(problem: Problem) -> ModelFacts:
    """The facts of a planning problem: its volumes in bytes, as they would cross a link."""
    return ModelFacts(
        weight_bytes=sum(layer.weight_bytes for layer in problem.layers),
        input_volume=problem.input_bytes,
        volumes=tuple(layer.output_bytes for layer in problem.layers),
    )


def small_model(facts: ModelFacts) -> Advice | None:
    """Guideline a: a model of less than 50 MB is likely best on the edge alone."""
    if facts.weight_bytes >= SMALL_BYTES:
        return None
    size = format_bytes(facts.weight_bytes)
    return Advice(Outcome.EDGE_ONLY, f"the model's weights are {size} as floats, less than {SMALL_BYTES // 10**6} MB")


def wide_beginning(facts: ModelFacts) -> Advice | None:
    """Guideline b: where many initial layers hand on more than the input is, the cloud alone is likely best."""
    if facts.wide_layers < INITIAL_SHARE * len(facts.volumes):
        return None
    counted = f"the first {facts.wide_layers} of {len(facts.volumes)} layers"
    return Advice(Outcome.CLOUD_ONLY, f"{counted} hand on more than the input is")


def deep_and_thin(facts: ModelFacts) -> Advice | None:
    """Guideline c, its first half: a deep but thin network is likely best divided."""
    layers = len(facts.volumes)
    if layers < DEEP_LAYERS or facts.weight_bytes >= THIN_BYTES * layers:
        return None
    each = format_bytes(facts.weight_bytes / layers)
    return Advice(Outcome.SPLIT, f"the network is deep ({layers} layers) but thin ({each} of weights each)")


def high_resolution(facts: ModelFacts) -> Advice | None:
    """Guideline c, its second half: a network for large pictures is likely best divided."""
    if facts.input_side is None or facts.input_side < HIGH_RESOLUTION:
        return None
    return Advice(Outcome.SPLIT, f"the input is {facts.input_side} pixels wide or high, {HIGH_RESOLUTION} or more")


GUIDELINES = (small_model, wide_beginning, deep_and_thin, high_resolution)


def advice(facts: ModelFacts) -> tuple[Advice, ...]:
    """What the guidelines that apply say."""
    return tuple(found for guideline in GUIDELINES if (found := guideline(facts)) is not None)


def outcome_of(tiers: Sequence[int]) -> Outcome:
    """What a plan, given as a tier per layer, is: all on the first tier, none on it, or divided."""
    on_first = sum(tier == 0 for tier in tiers)
    if on_first == len(tiers):
        return Outcome.EDGE_ONLY
    return Outcome.SPLIT if on_first else Outcome.CLOUD_ONLY


def advice_sentence(given: Advice, plan: Outcome) -> str:
    """A guideline in words, beside what the plan does."""
    agreement = "so is the plan" if given.outcome is plan else f"the plan is {plan}"
    return f"AUTO-SPLIT's guideline: {given.sentence}, so {given.outcome} is likely best; {agreement}."
