"""What the chart's files say of each other and of the code; nothing is rendered here."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiersplit_operator.clients.kinds import KINDS

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "tiersplit"
DEFINITION = "tiersplit.dev_splitdeployments.yaml"
VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = {heading.lower() for heading in re.findall(r"^#+ (.+)$", RUNBOOK, flags=re.MULTILINE)}
GOOD_REASONS = {
    word.lower()
    for row in re.findall(r"^\| (`[^|]+) \|", RUNBOOK, flags=re.MULTILINE)
    for word in re.findall(r"`(\w+)`", row)
}
SUFFIXES = re.compile(r"_(total|bucket|count|sum|info)$")


def values_of(tree: Any, path: str = "") -> dict[str, Any]:
    """Every value by its path; a map without keys is a value too."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {
        key: value for name, part in tree.items() for key, value in values_of(part, f"{path}.{name}".strip(".")).items()
    }


def schema_of(path: str) -> dict[str, Any]:
    found = SCHEMA
    for name in path.split("."):
        if "$ref" in found:
            found = SCHEMA["definitions"][found["$ref"].rpartition("/")[2]]
        assert name in found["properties"], f"values.schema.json lacks {path}"
        found = found["properties"][name]
    return found


def leaves() -> list[str]:
    return [
        path for path in values_of(yaml.safe_load(VALUES)) if not re.search(r"resources\.|dashboard\.labels\.", path)
    ]


def metrics_of_the_code() -> set[str]:
    text = "\n".join(path.read_text() for part in ("operator", "services") for path in (ROOT / part).rglob("*.py"))
    return set(re.findall(r'"(tiersplit_[a-z_]+)"', text))


def asked_metrics(text: str) -> set[str]:
    return {SUFFIXES.sub("", name) for name in re.findall(r"\btiersplit_[a-z_]+\b", text)}


def test_the_chart_carries_the_committed_definition():
    assert (CHART / "files" / DEFINITION).read_text() == (ROOT / "crds" / DEFINITION).read_text(), "run `make crds`"


def test_the_chart_has_the_version_of_the_package():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    package = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert package is not None
    assert chart["appVersion"] == package.group(1)


@pytest.mark.parametrize("path", leaves())
def test_every_value_is_described(path: str):
    """By a comment that opens with its path, or with that of the map it stands in."""
    parts = path.split(".")
    described = [".".join(parts[:length]) for length in (len(parts), len(parts) - 1) if length]
    assert any(re.search(rf"^ *# {re.escape(name)} -- \S", VALUES, flags=re.MULTILINE) for name in described)


@pytest.mark.parametrize("path", leaves())
def test_every_value_has_a_schema(path: str):
    assert schema_of(path)


def test_every_map_of_the_schema_that_lists_its_fields_takes_no_other():
    described = {key: part for key, part in SCHEMA.items() if key != "allOf"}
    assert [
        path for path, schema in _maps(described) if "properties" in schema and schema["additionalProperties"]
    ] == []


def _maps(schema: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(schema, dict):
        return []
    own = [(path, schema)] if schema.get("type") == "object" else []
    return own + [found for name, part in schema.items() for found in _maps(part, f"{path}/{name}")]


@pytest.mark.parametrize("file", ["files/dashboard.json", "templates/monitoring/rules.yaml"])
def test_every_metric_that_is_asked_for_exists(file: str):
    assert asked_metrics((CHART / file).read_text()) - {"tiersplit"} <= {
        SUFFIXES.sub("", m) for m in metrics_of_the_code()
    }


def test_the_dashboard_has_queries_in_every_panel_and_no_two_panels_of_one_id():
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_the_run_book_has_a_section_for_every_alert():
    rules = (CHART / "templates" / "monitoring" / "rules.yaml").read_text()
    alerts = re.findall(r"alert: (\w+)", rules)
    assert len(alerts) > 5
    assert {alert.lower() for alert in alerts} <= SECTIONS
    assert all(f"#{alert.lower()}" in rules for alert in alerts)


def test_the_run_book_says_something_about_every_reason_of_a_condition():
    assert len(reasons()) > 25
    assert {reason for reason in reasons() if reason.lower() not in SECTIONS | GOOD_REASONS} == set()


def reasons() -> set[str]:
    """Every word that the operator's code can write as a condition's reason."""
    room = ROOT / "operator" / "tiersplit_operator"
    paths = (room / "conditions.py", room / "reconcile.py", *sorted((room / "decide").glob("*.py")))
    trees = [ast.parse(path.read_text()) for path in paths]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    texts = {node.value for made in functions for node in ast.walk(made) if isinstance(node, ast.Constant)}
    words = {text for text in texts if isinstance(text, str) and re.fullmatch(r"([A-Z][a-z]+)+", text)}
    statuses, others = {"True", "False", "Unknown"}, {"Ready", "Error", "Progress"}
    return words - statuses - others - set(KINDS)
