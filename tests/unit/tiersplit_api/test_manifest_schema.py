"""What the generated CRD relies on: bounded lists and strings, descriptions that open with the field's name."""

from collections.abc import Iterator
from typing import Any

from tiersplit_api.v1alpha1.types import SplitDeployment


def _properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for definition in [schema, *schema["$defs"].values()]:
        yield from definition.get("properties", {}).items()


def test_every_field_is_described_by_a_sentence_that_opens_with_its_name() -> None:
    for name, value in _properties(SplitDeployment.model_json_schema()):
        assert value["description"].split()[0].rstrip(",") == name
        assert value["description"].endswith(".")


def test_every_list_and_string_of_the_spec_is_bounded() -> None:
    schema = SplitDeployment.model_json_schema()
    for definition_name, definition in schema["$defs"].items():
        if definition_name == "Metadata":
            continue
        for name, value in definition.get("properties", {}).items():
            for part in [value, *value.get("anyOf", [])]:
                if part.get("type") == "array":
                    assert "maxItems" in part, (definition_name, name)
                if part.get("type") == "string" and not {"enum", "const", "format"} & part.keys():
                    assert "maxLength" in part or "pattern" in part, (definition_name, name)
