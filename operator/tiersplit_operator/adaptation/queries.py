"""What Prometheus is asked: one query per metric for all resources, with the age of what it answers."""

from dataclasses import dataclass
from enum import StrEnum

from tiersplit_api.v1alpha1.adaptation import Prometheus

KIND_LABEL, VALUE, AGE = "tiersplit_kind", "value", "age"
"""Each answer has both: the number, and how many seconds ago its newest sample was scraped."""


class Metric(StrEnum):
    """What is observed."""

    BANDWIDTH = "bandwidth"
    LATENCY = "latency"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class _Default:
    series: str
    labels: tuple[str, ...]


_RESOURCE = ("namespace", "splitdeployment")
_LINK, _TIER = (*_RESOURCE, "source", "target"), (*_RESOURCE, "tier")
_DEFAULTS = {
    Metric.BANDWIDTH: _Default("tiersplit_link_bandwidth_bps", _LINK),
    Metric.LATENCY: _Default("tiersplit_link_latency_seconds", _LINK),
    Metric.LOAD: _Default("tiersplit_tier_load", _TIER),
}


def default_query(metric: Metric) -> str:
    """The query for all resources.

    An instant query finds samples of up to five minutes ago and does not say so; the age is asked for beside the value.
    """
    known = _DEFAULTS[metric]
    by = ", ".join(known.labels)
    value = f"avg by ({by}) ({known.series})"
    age = f"time() - max by ({by}) (timestamp({known.series}))"
    return f"{_labelled(value, VALUE)} or {_labelled(age, AGE)}"


def _labelled(query: str, kind: str) -> str:
    return f'label_replace({query}, "{KIND_LABEL}", "{kind}", "", "")'


def own_queries(overriding: Prometheus) -> dict[Metric, str]:
    """The queries of a resource that replace the default ones; what they answer has no age."""
    given = {
        Metric.BANDWIDTH: overriding.bandwidth_query,
        Metric.LATENCY: overriding.latency_query,
        Metric.LOAD: overriding.load_query,
    }
    return {metric: query for metric, query in given.items() if query}
