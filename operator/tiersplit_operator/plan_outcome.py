"""What planning came to, as it lies beside the surface in the registry."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tiersplit_core.errors import BundleError

ANNOTATION = "tiersplit.outcome"
"""Annotation of a surface's entry in a bundle's manifest."""
ACCURACY_ANNOTATION = "tiersplit.accuracy"
"""Annotation of a bundle's manifest: the model's metric on the validation data, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """One step of planning in rounds.

    Attributes:
        settled: the surface may be served; else what follows is to be cut or measured first.
        plans: how many plans the surface has.
        round: which round it is.
        off: how far estimate and measurement were apart, where it settled.
        uncut: how many segments no file was cut for.
        unrated: how many plans' accuracy is to be measured.
        unmeasured: per tier, ids of the segments that are to be measured there.
        base_bytes: memory of the idle runtime per tier, where it was measured.
        quantised: how many of the plans run layers with fewer bits.
        accuracy: what the metric says of the plan that is the fastest as the links are declared; None: not known.
        whole: the same of the model as it is.
    """

    settled: bool
    plans: int
    round: int
    off: float = 0.0
    uncut: int = 0
    unrated: int = 0
    unmeasured: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    base_bytes: Mapping[str, int] = field(default_factory=dict)
    quantised: int = 0
    accuracy: float | None = None
    whole: float | None = None

    def to_text(self) -> str:
        """As it is annotated."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> "PlanOutcome":
        """The outcome that an annotation holds; what it says besides, a later version's, is left.

        Raises:
            BundleError: it holds none; the path names the field that is wrong.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _wrong("is no JSON") from error
        if not isinstance(found, dict):
            raise _wrong("is no object")
        return cls(
            settled=_settled(found),
            plans=_count(found, "plans"),
            round=_count(found, "round"),
            off=_distance(found, "off"),
            uncut=_count(found, "uncut", 0),
            unrated=_count(found, "unrated", 0),
            unmeasured=_unmeasured(found),
            base_bytes=_sizes(found),
            quantised=_count(found, "quantised", 0),
            accuracy=_measure(found, "accuracy"),
            whole=_measure(found, "whole"),
        )


def _wrong(what: str, field: str = "") -> BundleError:
    where = f"{ANNOTATION}.{field}" if field else ANNOTATION
    return BundleError(f"{what}; remove the tag plan-… from the registry to have the plan made again", where)


def _settled(found: Mapping[str, Any]) -> bool:
    value = found.get("settled")
    if not isinstance(value, bool):
        raise _wrong("must be true or false", "settled")
    return value


def _count(found: Mapping[str, Any], field: str, default: int | None = None) -> int:
    return _whole(found.get(field, default), field)


def _whole(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong("must be a whole number, 0 or more", field)
    return value


def _distance(found: Mapping[str, Any], field: str) -> float:
    value = found.get(field, 0.0)
    if not _is_number(value) or not 0 <= value < math.inf:
        raise _wrong("must be a number, 0 or more", field)
    return float(value)


def _measure(found: Mapping[str, Any], field: str) -> float | None:
    value = found.get(field)
    if value is None:
        return None
    if not _is_number(value) or not math.isfinite(value):
        raise _wrong("must be a number", field)
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unmeasured(found: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    ids = _tiers(found, "unmeasured")
    for tier, segments in ids.items():
        if not isinstance(segments, list) or not all(isinstance(segment, str) for segment in segments):
            raise _wrong("must be a list of segments' ids", f"unmeasured.{tier}")
    return {tier: tuple(segments) for tier, segments in ids.items()}


def _sizes(found: Mapping[str, Any]) -> dict[str, int]:
    return {tier: _whole(size, f"base_bytes.{tier}") for tier, size in _tiers(found, "base_bytes").items()}


def _tiers(found: Mapping[str, Any], field: str) -> dict[str, Any]:
    value = found.get(field, {})
    if not isinstance(value, dict):
        raise _wrong("must be an object, by tier", field)
    return value
