"""From an answer of Prometheus to what it says of each resource; what cannot be true is left out, with a reason."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiersplit_operator.adaptation.queries import AGE, KIND_LABEL, VALUE, Metric
from tiersplit_operator.facts import Key

MAX_AGE_S = 30.0
"""Samples that are older are no observations of now: six scrapes of the shipped monitors."""
_RANGES: Mapping[Metric, tuple[float, float]] = {
    Metric.BANDWIDTH: (1.0, 1e13),
    Metric.LATENCY: (0.0, 600.0),
    Metric.LOAD: (1e-3, 1e4),
}
Place = tuple[str, ...]
"""(source, target) of a link, or (tier,)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant vector: its labels and its number."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What Prometheus says of one resource.

    Attributes:
        values: number per metric and place.
        doubts: why a number was left out, in words.
    """

    values: Mapping[tuple[Metric, Place], float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


def plausible(metric: Metric, value: float) -> bool:
    """Whether a number can be what it is said to be; NaN cannot."""
    least, most = _RANGES[metric]
    return least <= value <= most


def place_of(metric: Metric, labels: Mapping[str, str]) -> Place | None:
    """Which link or tier a sample is about; None where its labels do not say."""
    names = ("tier",) if metric is Metric.LOAD else ("source", "target")
    found = tuple(labels.get(name, "") for name in names)
    return found if all(found) else None


def by_resource(metric: Metric, samples: Iterable[Sample]) -> dict[Key, Seen]:
    """The answer of a default query, per resource."""
    values: dict[tuple[Key, Place], float] = {}
    ages: dict[tuple[Key, Place], float] = {}
    for sample in samples:
        key = Key(sample.labels.get("namespace", ""), sample.labels.get("splitdeployment", ""))
        place = place_of(metric, sample.labels)
        if all(key) and place is not None:
            kept = {VALUE: values, AGE: ages}.get(sample.labels.get(KIND_LABEL, ""))
            if kept is not None:
                kept[key, place] = sample.value
    judged: dict[Key, dict[Place, tuple[float, float]]] = {}
    for (key, place), value in values.items():
        judged.setdefault(key, {})[place] = (value, ages.get((key, place), math.inf))
    return {key: _judged(metric, found) for key, found in judged.items()}


def of_resource(metric: Metric, key: Key, samples: Iterable[Sample]) -> Seen:
    """The answer of a resource's own query.

    A sample that names another namespace or resource is not believed: a query may not speak for others.
    """
    found: dict[Place, tuple[float, float]] = {}
    foreign = False
    for sample in samples:
        own = sample.labels.get("namespace", key.namespace) == key.namespace
        own = own and sample.labels.get("splitdeployment", key.name) == key.name
        place = place_of(metric, sample.labels)
        foreign = foreign or not own
        if own and place is not None:
            found[place] = (sample.value, 0.0)
    seen = _judged(metric, found)
    labels = "tier" if metric is Metric.LOAD else "source and target"
    if not found:
        why = "is about other resources" if foreign else f"has no sample with the labels {labels}"
        return Seen(seen.values, (*seen.doubts, f"{metric.value}Query {why}"))
    return seen


def _judged(metric: Metric, found: Mapping[Place, tuple[float, float]]) -> Seen:
    values, doubts = {}, []
    for place, (value, age_s) in sorted(found.items()):
        about = f"{metric.value} of {':'.join(place)}"
        if not plausible(metric, value):
            doubts.append(f"{about} is {value:g}, which cannot be")
        elif not age_s <= MAX_AGE_S:  # NaN fails too
            doubts.append(f"{about} is {age_s:.0f} s old" if math.isfinite(age_s) else f"{about} has no age")
        else:
            values[metric, place] = value
    return Seen(values, tuple(doubts))


def joined(parts: Iterable[Seen]) -> Seen:
    """Several answers about one resource as one."""
    values: dict[tuple[Metric, Place], float] = {}
    doubts: list[str] = []
    for part in parts:
        values |= part.values
        doubts += part.doubts
    return Seen(values, tuple(doubts))
