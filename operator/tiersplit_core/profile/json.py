"""Profiles as JSON: the same form for measured and simulated ones, read strictly."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from tiersplit_core.errors import ProfileError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.profile.serving import AtHand, Overhead, ServingProfile
from tiersplit_core.quantization.forms import RunForm

FORMAT = "tiersplit.profile.v1"
_AT_HAND = "at_hand"
_MAX_NAMES = 100_000
_MAX_BATCH = 1 << 20

_T = TypeVar("_T")


def profile_to_json(profile: TierProfile) -> dict[str, Any]:
    """`profile` as plain JSON values."""
    serving = {} if profile.serving is None else {"serving": _serving_to_json(profile.serving)}
    return {
        "format": FORMAT,
        "kind": profile.kind.value,
        "tier": profile.tier,
        "graph": profile.graph,
        "threads": profile.threads,
        "slowdown": profile.slowdown,
        "base_bytes": profile.base_bytes,
        "machine": dict(profile.machine),
        "batches": [_batch_to_json(size, seen) for size, seen in sorted(profile.batches.items())],
        **serving,
    }


def profile_from_json(value: object, graph: LayerGraph | None = None, graph_digest: str | None = None) -> TierProfile:
    """Read a profile.

    Args:
        value: what `json.loads` gave.
        graph: where given, each batch must have the seconds of exactly this graph's layers.
        graph_digest: where given, the profile must have been made of this graph.

    Raises:
        ProfileError: something is missing, unknown, negative, not finite or belongs to another graph; its path is the
            JSON path of the mistake.
    """
    top = _object(value, "$")
    _known(top, {*profile_to_json(_EMPTY), "serving"}, "$")
    if top.get("format") != FORMAT:
        raise ProfileError(f"this is no profile; write {FORMAT!r}", "$.format")
    profile = TierProfile(
        tier=_text(top, "tier", "$"),
        kind=_kind(top),
        graph=_text(top, "graph", "$"),
        threads=_integer(_member(top, "threads", "$"), "$.threads", least=1),
        machine=_texts(_member(top, "machine", "$"), "$.machine"),
        batches=_batches(_member(top, "batches", "$"), graph),
        slowdown=_number(_member(top, "slowdown", "$"), "$.slowdown", positive=True),
        base_bytes=_integer(top.get("base_bytes", 0), "$.base_bytes", least=0),
        serving=_serving(top["serving"]) if "serving" in top else None,
    )
    check_belongs(profile, graph_digest)
    return profile


def check_belongs(profile: TierProfile, graph_digest: str | None) -> None:
    """Refuse a profile of another graph than `graph_digest`; None accepts any.

    Raises:
        ProfileError: naming both graphs.
    """
    if graph_digest is not None and profile.graph != graph_digest:
        raise ProfileError(
            f"the profile of tier {profile.tier!r} is of graph {profile.graph}, not of {graph_digest}; profile again",
            "$.graph",
        )


_EMPTY = TierProfile("", ProfileKind.MEASURED, "", 1, {}, {})


def _batch_to_json(size: int, seen: BatchProfile) -> dict[str, Any]:
    forms = {form.value: _timings_to_json(timings) for form, timings in seen.forms.items()}
    return {
        "batch": size,
        "memory_bytes": seen.memory_bytes,
        "whole": _timing_to_json(seen.whole),
        "layers": _timings_to_json(seen.layers),
        "segments": _timings_to_json(seen.segments),
        **({"forms": forms} if forms else {}),
        **({"chunks": seen.chunks} if seen.chunks > 1 else {}),
        **({"unheld": dict(seen.unheld)} if seen.unheld else {}),
    }


def _timings_to_json(timings: Mapping[str, Timing]) -> dict[str, Any]:
    return {name: _timing_to_json(timing) for name, timing in timings.items()}


def _timing_to_json(timing: Timing) -> dict[str, Any]:
    return {"median_s": timing.median_s, "spread_s": timing.spread_s, "runs": timing.runs}


def _serving_to_json(serving: ServingProfile) -> dict[str, Any]:
    return {name: value for name, value in asdict(serving).items() if value is not None}


def _serving(value: object) -> ServingProfile:
    entry, names = _object(value, "$.serving"), [field.name for field in fields(ServingProfile)]
    _known(entry, set(names), "$.serving")
    costs = {name: _member(entry, name, "$.serving") for name in names if name != _AT_HAND}
    read = {name: _overhead(cost, f"$.serving.{name}") for name, cost in costs.items()}
    return ServingProfile(**read, at_hand=_at_hand(entry[_AT_HAND]) if _AT_HAND in entry else None)


def _at_hand(value: object) -> AtHand:
    path, names = f"$.serving.{_AT_HAND}", [field.name for field in fields(AtHand)]
    entry = _object(value, path)
    _known(entry, set(names), path)
    found = AtHand(**{name: _number(_member(entry, name, path), f"{path}.{name}") for name in names})
    if not 0 < found.processors < 1:
        raise ProfileError("write a share of a processor between 0 and 1", f"{path}.processors")
    return found


def _overhead(value: object, path: str) -> Overhead:
    entry, names = _object(value, path), [field.name for field in fields(Overhead)]
    _known(entry, set(names), path)
    return Overhead(**{name: _number(_member(entry, name, path), f"{path}.{name}") for name in names})


def _batches(value: object, graph: LayerGraph | None) -> dict[int, BatchProfile]:
    if not isinstance(value, list) or not value:
        raise ProfileError("write a list with at least one batch size", "$.batches")
    found: dict[int, BatchProfile] = {}
    for i, item in enumerate(value):
        path = f"$.batches[{i}]"
        entry = _object(item, path)
        size = _integer(_member(entry, "batch", path), f"{path}.batch", least=1, most=_MAX_BATCH)
        if size in found:
            raise ProfileError(f"batch size {size} stands here twice", f"{path}.batch")
        found[size] = _batch(entry, path, graph)
    return found


def _batch(entry: Mapping[str, object], path: str, graph: LayerGraph | None) -> BatchProfile:
    _known(entry, {"batch", "memory_bytes", "whole", "layers", "segments", "forms", "chunks", "unheld"}, path)
    layers = _timings(_member(entry, "layers", path), f"{path}.layers")
    if graph is not None:
        _same_layers(layers, graph, f"{path}.layers")
    return BatchProfile(
        layers=layers,
        whole=_timing(_member(entry, "whole", path), f"{path}.whole"),
        segments=_timings(entry.get("segments", {}), f"{path}.segments"),
        memory_bytes=_integer(entry.get("memory_bytes", 0), f"{path}.memory_bytes", least=0),
        forms=_forms(entry.get("forms", {}), layers, f"{path}.forms"),
        chunks=_integer(entry.get("chunks", 1), f"{path}.chunks", least=1),
        unheld=_unheld(entry.get("unheld", {}), layers, f"{path}.unheld"),
    )


def _forms(value: object, layers: Mapping[str, Timing], path: str) -> dict[RunForm, dict[str, Timing]]:
    """Per quantised form the seconds of those layers that the tier can hold in it."""
    entry = _object(value, path)
    _known(entry, {RunForm.INT8.value, RunForm.PACKED.value}, path)
    found = {RunForm(form): _timings(item, f"{path}.{form}") for form, item in entry.items()}
    for form, timings in found.items():
        for name in timings.keys() - layers.keys():
            raise ProfileError("a form has the seconds of the batch's layers alone", f"{path}.{form}.{name}")
    return found


def _unheld(value: object, layers: Mapping[str, Timing], path: str) -> dict[str, int]:
    """Bytes of layers that the tier cannot hold."""
    found = {name: _integer(item, f"{path}.{name}", least=0) for name, item in _object(value, path).items()}
    for name in found.keys() - layers.keys():
        raise ProfileError("the batch has no such layer", f"{path}.{name}")
    return found


def _same_layers(layers: Mapping[str, Timing], graph: LayerGraph, path: str) -> None:
    for name in graph.index.keys() - layers.keys():
        raise ProfileError(f"the layer {name!r} of the graph is missing", path)
    for name in layers.keys() - graph.index.keys():
        raise ProfileError("the graph has no such layer", f"{path}.{name}")


def _timings(value: object, path: str) -> dict[str, Timing]:
    return {name: _timing(item, f"{path}.{name}") for name, item in _object(value, path).items()}


def _timing(value: object, path: str) -> Timing:
    entry = _object(value, path)
    _known(entry, {"median_s", "spread_s", "runs"}, path)
    return Timing(
        median_s=_number(_member(entry, "median_s", path), f"{path}.median_s"),
        spread_s=_number(entry.get("spread_s", 0.0), f"{path}.spread_s"),
        runs=_integer(entry.get("runs", 1), f"{path}.runs", least=1),
    )


def _kind(top: Mapping[str, object]) -> ProfileKind:
    return _converted(ProfileKind, _member(top, "kind", "$"), "$.kind", "write measured or simulated")


def _converted(make: Callable[[Any], _T], value: object, path: str, advice: str) -> _T:
    try:
        return make(value)
    except ValueError as error:
        raise ProfileError(f"{value!r} is not allowed; {advice}", path) from error


def _object(value: object, path: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or len(value) > _MAX_NAMES or not all(isinstance(key, str) for key in value):
        raise ProfileError("write an object", path)
    return value


def _member(entry: Mapping[str, object], name: str, path: str) -> object:
    if name not in entry:
        raise ProfileError("this is required", f"{path}.{name}")
    return entry[name]


def _known(entry: Mapping[str, object], names: set[str], path: str) -> None:
    for name in entry.keys() - names:
        raise ProfileError(f"this is not known; allowed are {', '.join(sorted(names))}", f"{path}.{name}")


def _text(entry: Mapping[str, object], name: str, path: str) -> str:
    value = _member(entry, name, path)
    if not isinstance(value, str) or not value:
        raise ProfileError("write a text that is not empty", f"{path}.{name}")
    return value


def _texts(value: object, path: str) -> dict[str, str]:
    entry = _object(value, path)
    for name, text in entry.items():
        if not isinstance(text, str):
            raise ProfileError("write a text", f"{path}.{name}")
    return {name: str(text) for name, text in entry.items()}


def _number(value: object, path: str, *, positive: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProfileError(f"{value!r} is no number; write a finite one", path)
    if value < 0 or (positive and value == 0):
        raise ProfileError(f"{value!r} is {'not positive' if positive else 'negative'}", path)
    return float(value)


def _integer(value: object, path: str, *, least: int, most: int = 1 << 62) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ProfileError(f"{value!r} is not allowed; write a whole number of at least {least}", path)
    return value
