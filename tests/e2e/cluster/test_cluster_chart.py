"""The chart's queries on a real Prometheus."""

import json
import re
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.cluster.helm import CHART, objects, template
from tests.cluster.layout import PROMETHEUS_ADDRESS

VARIABLES = {"$namespace": ".*", "$splitdeployment": ".*", "$tier": ".*", "$__rate_interval": "1m"}


def alerts() -> dict[str, str]:
    rendered = objects(template({"monitoring": {"rules": {"enabled": True}}}))
    groups = next(found for found in rendered if found["kind"] == "PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, str]:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    queries = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            queries[f"{panel['title']} {target['refId']}"] = re.sub(
                "|".join(map(re.escape, VARIABLES)), lambda found: VARIABLES[found.group()], target["expr"]
            )
    return queries


@pytest.mark.usefixtures("own_cluster")
def test_prometheus_understands_every_alert_and_every_panel():
    answers = {name: ask(query) for name, query in {**alerts(), **panels()}.items()}
    assert len(answers) > 30
    assert {name: answer for name, answer in answers.items() if answer["status"] != "success"} == {}


def ask(query: str) -> dict[str, Any]:
    try:
        with urlopen(f"http://{PROMETHEUS_ADDRESS}/api/v1/query?{urlencode({'query': query})}", timeout=10) as answer:
            return json.load(answer)
    except HTTPError as refusal:
        return {"status": refusal.read().decode()}
