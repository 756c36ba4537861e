"""What was measured on validation data: the accuracy of the model itself, and of plans that quantise layers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiersplit_bundle.layout import check_digest
from tiersplit_core.errors import BundleError

_MAX_PLANS = 100_000
_MAX_METRIC = 256


@dataclass(frozen=True, slots=True)
class Accuracies:
    """Accuracies of one model by one metric on one file of validation data.

    Each is a fraction of 1, unless the user's own function gives other numbers.

    Attributes:
        metric: its name, such as `Top1`.
        whole: of the model as it was imported.
        plans: per plan digest, of the very segments that the plan runs.
        data: digest of the validation data; empty where it is not known.
        code: digest of the user's own function's code; empty where the metric is none.
    """

    metric: str
    whole: float
    plans: Mapping[str, float] = field(default_factory=dict)
    data: str = ""
    code: str = ""


def accuracies_to_json(accuracies: Accuracies) -> dict[str, Any]:
    """`accuracies` as plain JSON values."""
    known = {key: text for key, text in (("data", accuracies.data), ("code", accuracies.code)) if text}
    return {"metric": accuracies.metric, "whole": accuracies.whole, "plans": dict(accuracies.plans), **known}


def accuracies_from_json(value: Mapping[str, Any]) -> Accuracies:
    """The accuracies of a parsed JSON document.

    Raises:
        BundleError: it says something else; `path` is the field.
    """
    plans, metric = value.get("plans"), value.get("metric")
    if not isinstance(metric, str) or not 0 < len(metric) <= _MAX_METRIC:
        raise BundleError("expected the metric's name, such as 'Top1'", "accuracies.metric")
    if not isinstance(plans, dict) or len(plans) > _MAX_PLANS:
        raise BundleError(f"expected the accuracies of at most {_MAX_PLANS} plans by digest", "accuracies.plans")
    found = {check_digest(key, "accuracies.plans"): _number(plans[key], f"accuracies.plans.{key}") for key in plans}
    whole = _number(value.get("whole"), "accuracies.whole")
    return Accuracies(metric, whole, found, _digest(value, "data"), _digest(value, "code"))


def _digest(value: Mapping[str, Any], key: str) -> str:
    """A digest, or nothing."""
    return check_digest(value[key], f"accuracies.{key}") if value.get(key) else ""


def _number(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BundleError(f"expected a number such as 0.9712, got {value!r}", path)
    return float(value)
