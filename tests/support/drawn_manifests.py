"""Good manifests drawn at random: every field of the schema, with the rules over several fields kept."""

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from tiersplit_api.crd import object_schema
from tiersplit_api.v1alpha1.types import Spec

Schema = dict[str, Any]
_FREE = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text("xyz", max_size=3), max_size=2)
_QUANTITIES = st.sampled_from(["16Mi", "64Mi", "1Gi", "250M", "1.5G", 33554432])
_NAMES = ("edge", "mdc", "cloud")


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values of a structural schema."""
    if schema.get("x-kubernetes-int-or-string"):
        return _QUANTITIES
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema["type"]
    if kind == "object":
        return _objects(schema)
    if kind == "array":
        unique = schema.get("x-kubernetes-list-type") == "set"
        return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=2, unique=unique)
    if kind == "integer":
        return st.integers(schema.get("minimum", 0), schema.get("maximum", 100))
    return _texts(schema)


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    if "%" in schema.get("pattern", ""):
        return st.sampled_from(["0%", "1.5%", "100%"])
    if ":" in schema.get("pattern", ""):
        return st.just("package.module:make")
    if "pattern" in schema:
        return st.sampled_from(_NAMES)
    return st.text("abcdefghij/:.-é", min_size=schema.get("minLength", 0), max_size=min(schema["maxLength"], 10))


def _objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    if "properties" not in schema:
        return _FREE
    required = set(schema.get("required", ()))
    fields = {name: values(part) for name, part in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: drawn for name, drawn in fields.items() if name in required},
        optional={name: drawn for name, drawn in fields.items() if name not in required},
    )


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A spec that the rules over several fields let through."""
    spec = draw(values(object_schema(Spec)))
    _mend_model(spec["model"], draw)
    _mend_tiers(spec, draw)
    _mend_goals(spec)
    return spec


def _mend_model(model: dict[str, Any], draw: st.DrawFn) -> None:
    kept = draw(st.sampled_from(["onnxUri", "bundle", "torch"]))
    model["source"] = {kept: {"factory": "package.module:make"} if kept == "torch" else "somewhere"}
    inputs = model.setdefault("inputs", [])
    for i, item in enumerate(inputs):
        item["name"] = f"input-{i}"
        item["shape"] = [draw(st.sampled_from([-1, 1])), *(abs(size) or 1 for size in item["shape"][1:])]
        item.pop("wireDatatype", None) if draw(st.booleans()) else item.update(wireDatatype="UINT8")
    if kept == "torch" and not inputs:
        inputs.append({"name": "input", "shape": [-1, 3]})
    if "function" in (validation := model.get("validation", {})):
        validation["metric"] = "Function"
    elif validation.get("metric") == "Function":
        validation.pop("metric")


def _mend_tiers(spec: dict[str, Any], draw: st.DrawFn) -> None:
    spec["tiers"] = spec["tiers"][: len(_NAMES)]
    for name, tier in zip(_NAMES, spec["tiers"], strict=False):
        tier["name"] = name
        if tier.get("placement") == "EveryNode":
            tier.pop("replicas", None)
    names = [tier["name"] for tier in spec["tiers"]]
    if "links" in spec:
        pairs = list(pairwise(names))
        spec["links"] = [{**link, "from": a, "to": b} for link, (a, b) in zip(spec["links"], pairs, strict=False)]
    if "resultTier" in spec:
        spec["resultTier"] = draw(st.sampled_from(names))


def _mend_goals(spec: dict[str, Any]) -> None:
    if "maxDrop" in spec.get("accuracy", {}):
        spec["accuracy"].pop("min", None)
    objective = spec.get("objective", {})
    if "minimize" in objective or not {"maximize", "maxLatencyMilliseconds"} <= objective.keys():
        objective.pop("maximize", None)
        objective.pop("maxLatencyMilliseconds", None)
    if spec.get("earlyExit", {}).get("mode") == "Auto":
        spec["model"]["validation"] = {"uri": "somewhere.npz"}
