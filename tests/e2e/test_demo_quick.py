"""The demo, shortened, for real: processes, links, training, moves, report."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from examples.digits.trace import MBPS
from tests.support.patience import holds_in_one

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1500
RUNS = 3
"""A quick run leaves a deployment five seconds for each move, which a busy machine may not give it."""


Told = tuple[str, Mapping[str, Any], Path]
"""What the demo printed, its summary and its report."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Told]:
    """By its number, what a run of the demo told."""
    return cache(lambda _: demonstrated(tmp_path_factory.mktemp("demo")))


@pytest.fixture(scope="module")
def told(run: Callable[[int], Told]) -> Told:
    """What the first run told."""
    return run(0)


def demonstrated(folder: Path) -> Told:
    found, report = folder / "summary.json", folder / "report.html"
    command = [sys.executable, "-m", "examples.digits.demo", "--quick", "--json", str(found), "--report", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(found.read_text()), report


def alone_at_the_edge(split: str) -> bool:
    """Whether nothing crosses the link that changes: with 20 Mbps the whole network in the cloud may be the best."""
    return split.startswith("edge") and "|" not in split


@pytest.mark.slow
@pytest.mark.timeout(RUNS * TIMEOUT_S + 20)
class TestDemo:
    def test_no_request_is_lost_answered_twice_or_answered_wrong(self, told: Any) -> None:
        requests = told[1]["requests"]
        assert requests["sent"] >= 15
        assert requests["answered"] == requests["sent"], requests["troubles"]
        assert (requests["lost"], requests["duplicate"], requests["wrong"]) == (0, 0, 0)

    def test_the_split_network_is_as_accurate_as_the_whole_one(self, told: Any) -> None:
        accuracy = told[1]["accuracy"]
        assert told[1]["training"]["accuracy"] >= 0.97
        assert accuracy["split"] == pytest.approx(accuracy["whole"])

    def test_the_plan_moves_with_the_bandwidth_and_returns(self, run: Callable[[int], Told]) -> None:
        numbers = count()

        def moves() -> bool:
            summary = run(next(numbers))[1]
            steps = summary["steps"]
            assert [step["bandwidth_bps"] / 1e6 for step in steps] == list(MBPS)
            alone = {step["bandwidth_bps"]: alone_at_the_edge(step["split"]) for step in steps}
            several = len({step["plan"] for step in steps}) >= 3 and len(summary["decisions"]) >= 3
            return several and alone[0] and not alone[steps[-1]["bandwidth_bps"]]

        assert holds_in_one(moves, RUNS)

    def test_every_decision_has_a_reason(self, told: Any) -> None:
        assert told[1]["decisions"]
        assert all(decision["reason"] for decision in told[1]["decisions"])

    def test_both_ends_the_oracle_and_fixed_plans_are_compared(self, told: Any) -> None:
        names = {way["what"]: way for way in told[1]["comparison"]}
        assert {"tiersplit", "oracle", "edge-only", "cloud-only"} <= names.keys()
        assert names["oracle"]["mean_s"] <= min(way["mean_s"] for name, way in names.items() if name != "tiersplit")

    def test_what_is_printed_names_plans_losses_and_the_report(self, told: Any) -> None:
        printed, _, report = told
        assert "edge-only" in printed
        assert "lost / twice / wrong" in printed
        assert report.name in printed.replace("\n", "")

    def test_the_report_is_one_page_with_its_timeline(self, told: Any) -> None:
        page = told[2].read_text()
        assert "<svg" in page
        assert "http" not in page.replace("http://www.w3.org", "").split("<body")[1]
