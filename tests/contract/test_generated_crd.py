from pathlib import Path
from typing import Any

from tiersplit_api.crd import as_yaml, definition

COMMITTED = Path(__file__).parents[2] / "crds" / "tiersplit.dev_splitdeployments.yaml"


def test_the_committed_definition_is_what_the_types_generate():
    assert COMMITTED.read_text() == as_yaml(), "run `make crds` and commit"


def test_every_field_is_described_by_a_sentence_that_opens_with_its_name():
    root = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    wrong = [
        path
        for path, schema in _fields(root["properties"], "")
        if path != ".metadata" and not _opens_with(schema.get("description", ""), path.rpartition(".")[2])
    ]
    assert wrong == []


def test_every_text_list_and_map_is_bounded():
    root = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    unbounded = [path for path, schema in _fields(root["properties"]["spec"]["properties"], "") if _unbounded(schema)]
    assert unbounded == []


def _opens_with(description: str, name: str) -> bool:
    return description.startswith(f"{name} ") and description.endswith(".")


def _unbounded(schema: dict[str, Any]) -> bool:
    if schema.get("type") == "string":
        return not ({"maxLength", "enum"} & schema.keys())
    if schema.get("type") == "array":
        return "maxItems" not in schema
    return "additionalProperties" in schema and "maxProperties" not in schema


def _fields(properties: dict[str, Any], path: str):
    for name, schema in properties.items():
        yield f"{path}.{name}", schema
        inner = schema.get("items", schema)
        yield from _fields(inner.get("properties", {}), f"{path}.{name}")
