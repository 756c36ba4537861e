"""Whether a live object still is what was applied: everything that we own stands in it as we want it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tiersplit_api.v1alpha1.types import GROUP
from tiersplit_core.errors import InputError
from tiersplit_operator.resources.quantities import parse_core_quantity

APPLIED = f"{GROUP}/applied"
"""Annotation with the digest of what was applied: shows that a field is no longer wanted, which no comparison would."""
_NAMES = ("name", "uid", "ip", "key", "containerPort", "port", "mountPath", "type")


def stamped(document: Mapping[str, Any]) -> dict[str, Any]:
    """The object, annotated with its own digest."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    metadata = document["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def contains(live: Any, wanted: Any) -> bool:
    """Whether everything of `wanted` stands in `live`; what others added to objects and named lists is theirs."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(contains(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return isinstance(live, Sequence) and not isinstance(live, str) and _contains_list(live, wanted)
    return live == wanted or _is_absent(live, wanted) or _same_quantity(live, wanted)


def _contains_list(live: Sequence[Any], wanted: Sequence[Any]) -> bool:
    name = _name_of(wanted)
    if name is None:
        return len(live) == len(wanted) and all(contains(one, other) for one, other in zip(live, wanted, strict=True))
    named = {item.get(name): item for item in live if isinstance(item, Mapping)}
    return all(contains(named.get(item[name]), item) for item in wanted)


def _name_of(items: Sequence[Any]) -> str | None:
    """The field by which a list's objects are told apart; None where it is a plain list."""
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    return next(
        (name for name in _NAMES if len({str(item.get(name)) for item in items if name in item}) == len(items)), None
    )


def _is_absent(live: Any, wanted: Any) -> bool:
    """The API server leaves empty values out."""
    return live is None and wanted in ("", 0, False)


def _same_quantity(live: Any, wanted: Any) -> bool:
    try:
        return parse_core_quantity(live, "") == parse_core_quantity(wanted, "")
    except InputError:
        return False
