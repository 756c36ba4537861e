"""`python -m tiersplit_api.crd`: the CustomResourceDefinition, from the types.

Structural and bounded, with descriptions, defaults, list types and CEL rules, so that a wrong manifest is refused by
`kubectl apply` with a sentence that says what to write.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tiersplit_api.v1alpha1.base import OFF, QUANTITY_PATTERN
from tiersplit_api.v1alpha1.cel import NAME, RULES, Rule
from tiersplit_api.v1alpha1.status import Status
from tiersplit_api.v1alpha1.types import GROUP, KIND, VERSION, Spec

Schema = dict[str, Any]
PLURAL, SINGULAR, SHORT_NAMES, CATEGORIES = "splitdeployments", "splitdeployment", ["sd"], ["all", "tiersplit"]
_LARGEST_INT32 = 2**31 - 1
_KEPT = (
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
)
_TEXT_MAP_KEYS = 64
_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason'),
    ("Split", "string", ".status.plan.split"),
    ("Latency", "string", ".status.plan.latency"),
    ("Accuracy", "string", ".status.plan.accuracy"),
    ("Age", "date", ".metadata.creationTimestamp"),
)


def definition() -> Schema:
    """The whole CustomResourceDefinition."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS],
        "schema": {"openAPIV3Schema": _root()},
    }
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": SINGULAR,
        "shortNames": SHORT_NAMES,
        "categories": CATEGORIES,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _root() -> Schema:
    return {
        "type": "object",
        "description": "SplitDeployment runs one neural network across tiers and moves the split while requests flow.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"apiVersion is {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"kind is {KIND}."},
            "metadata": {"type": "object"},
            "spec": {**object_schema(Spec), "description": "spec is what is wanted."},
            "status": {
                **_without_defaults(object_schema(Status)),
                "description": "status is the state, written by the operator.",
                # Who waits by kstatus takes a resource without a status for one that needs nobody's look.
                "default": {"observedGeneration": 0},
            },
        },
        "x-kubernetes-validations": [_validation(NAME)],
    }


def _without_defaults(schema: Any) -> Any:
    """A status says what is: nothing is filled in for what its writer left out."""
    if isinstance(schema, list):
        return [_without_defaults(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_defaults(value) for key, value in schema.items() if key != "default"}


def object_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of one type: every reference inlined, defaults where a field has one."""
    whole = model.model_json_schema(by_alias=True)
    return _object(model, whole, whole.get("$defs", {}))


def _object(model: type[BaseModel], schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    properties = {
        name: _property(fields[name], found, definitions) for name, found in schema.get("properties", {}).items()
    }
    made: Schema = {"type": "object", "description": schema.get("description", ""), "properties": properties}
    if "required" in schema:
        made["required"] = list(schema["required"])
    if model in RULES:
        made["x-kubernetes-validations"] = [_validation(rule) for rule in RULES[model]]
    return made


def _validation(rule: Rule) -> Schema:
    found = {"rule": rule.expression, "message": rule.message}
    return {**found, "fieldPath": rule.path} if rule.path else found


def _property(field: FieldInfo, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    made = _value(field, schema, definitions)
    made["description"] = field.description or made.get("description", "")
    default = field.get_default(call_default_factory=True) if not field.is_required() else None
    if isinstance(default, BaseModel):
        made["default"] = {}
    elif default not in (None, [], {}, ""):
        made["default"] = getattr(default, "value", default)
    return _ordered(made)


def _value(field: FieldInfo, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    found = _without_null(schema, definitions)
    models = list(_models(field.annotation))
    if found.get("x-kubernetes-int-or-string"):
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
            "maxLength": found["maxLength"],
        }
    if found.get("type") == "array":
        return {**_kept(found), "items": _item(models, found["items"], definitions)}
    if models:
        return _object(models[0], found, definitions)
    return _leaf(found)


def _item(models: list[type[BaseModel]], schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    found = _without_null(schema, definitions)
    return _object(models[0], found, definitions) if models else _leaf(found)


def _leaf(found: Mapping[str, Any]) -> Schema:
    if OFF in found.get("enum", ()):
        # Unquoted in YAML the word is false. A field of either type has none in a structural schema.
        return {"x-kubernetes-preserve-unknown-fields": True, "enum": [*found["enum"], False]}
    made = _kept(found)
    if made.get("type") == "integer":
        made["format"] = "int64" if made.get("maximum", _LARGEST_INT32) > _LARGEST_INT32 else "int32"
    values = found.get("additionalProperties")
    if isinstance(values, Mapping):
        made["additionalProperties"] = _kept(values)
        made.setdefault("maxProperties", _TEXT_MAP_KEYS)
    return made


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The types of the API that an annotation such as `list[Tier]` or `Status | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _without_null(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """`schema` with its reference followed, and the better half of `X | None`."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return {**definitions[name], **{key: value for key, value in schema.items() if key != "$ref"}}
    if "anyOf" in schema:
        (other,) = [part for part in schema["anyOf"] if part.get("type") != "null"]
        return {**_without_null(other, definitions), **{k: v for k, v in schema.items() if k != "anyOf"}}
    return schema


def _kept(schema: Mapping[str, Any]) -> Schema:
    return {key: schema[key] for key in _KEPT if key in schema}


def _ordered(schema: Schema) -> Schema:
    first = [key for key in ("type", "description", "default") if key in schema]
    return {key: schema[key] for key in [*first, *(key for key in schema if key not in first)]}


class _Plain(yaml.SafeDumper):
    """No anchors: a list that two fields share is written out twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is the library's
        return True


def as_yaml() -> str:
    """The definition as the repository keeps it."""
    text: str = yaml.dump(definition(), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
    return "# Generated from operator/tiersplit_api/v1alpha1 by `make crds`.\n" + text


def main() -> None:
    """Print the definition."""
    sys.stdout.write(as_yaml())


if __name__ == "__main__":
    main()
