"""What Prometheus reads from a stage."""

import errno
import re
import socket
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.patience import PATIENCE_S
from tiersplit_core.adaptation.estimator import LinkEstimate, LoadEstimate
from tiersplit_core.errors import OperationError
from tiersplit_stage import metrics as stage_metrics
from tiersplit_stage.estimates import Onward
from tiersplit_stage.metrics import StageMetrics

DOCUMENT = Path(__file__).parents[3] / "docs" / "wire.md"


def scrape(metrics: StageMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample that the endpoint answers with, by name and labels."""
    with urllib.request.urlopen(f"http://{metrics.serve('127.0.0.1:0')}/metrics", timeout=PATIENCE_S) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


def filled() -> StageMetrics:
    metrics = StageMetrics()
    metrics.request("sha256:p", "OK", 0.25)
    metrics.request("sha256:p", "OK", 0.5)
    metrics.request("", "RESOURCE_EXHAUSTED", 0.0)
    metrics.segment("seg-1", 0.125)
    metrics.rerun()
    metrics.active("sha256:p")
    metrics.watch("tiersplit_in_flight", "Requests in flight.", lambda: 3)
    metrics.watch("tiersplit_queue_depth", "Requests that wait or compute.", lambda: 2)
    metrics.watch_link(lambda: SimpleNamespace(source="edge", target="mdc", sent=(1000, 0.5)))
    metrics.watch_estimates(believing(Onward("edge", "mdc", LinkEstimate(2e6, 0.04), fresh=True), LoadEstimate(1.5, 9)))
    return metrics


def believing(onward, load=None):
    return SimpleNamespace(onward=onward, load=load or LoadEstimate())


def test_a_scrape_tells_seconds_counts_gauges_and_the_link() -> None:
    found = scrape(filled())
    plan, link = (("code", "OK"), ("plan", "sha256:p")), (("source", "edge"), ("target", "mdc"))
    assert found["tiersplit_request_seconds_count", plan] == 2
    assert found["tiersplit_request_seconds_sum", plan] == 0.75
    assert found["tiersplit_segment_seconds_sum", (("segment", "seg-1"),)] == 0.125
    assert found["tiersplit_rejected_total", (("code", "RESOURCE_EXHAUSTED"),)] == 1
    assert found["tiersplit_rerun_total", ()] == 1
    assert found["tiersplit_plan_info", (("digest", "sha256:p"),)] == 1
    assert (found["tiersplit_in_flight", ()], found["tiersplit_queue_depth", ()]) == (3, 2)
    assert (found["tiersplit_link_bytes_total", link], found["tiersplit_link_seconds_total", link]) == (1000, 0.5)


def believed(metrics):
    found = {name: value for (name, _), value in scrape(metrics).items()}
    return {name: value for name, value in found.items() if name.startswith(("tiersplit_link", "tiersplit_tier"))}


def test_a_scrape_tells_what_the_stage_believes_about_its_link_and_itself() -> None:
    found = scrape(filled())
    link = (("source", "edge"), ("target", "mdc"))
    names = ("tiersplit_link_bandwidth_bps", "tiersplit_link_latency_seconds", "tiersplit_link_up")
    assert [found[name, link] for name in names] == [2e6, 0.04, 1]
    assert found["tiersplit_tier_load", ()] == 1.5


@pytest.mark.parametrize(("fresh", "down"), [(False, False), (True, True), (False, True)])
def test_a_link_that_carries_nothing_is_down_and_its_old_speed_is_not_told(fresh, down) -> None:
    metrics = StageMetrics()
    metrics.watch_estimates(believing(Onward("edge", "mdc", LinkEstimate(2e6, 0.04, down=down), fresh=fresh)))
    assert believed(metrics) == {"tiersplit_link_up": 0}


def test_nothing_is_told_before_anything_was_seen() -> None:
    metrics = StageMetrics()
    metrics.watch_estimates(believing(None))
    assert believed(metrics) == {}


def test_another_plan_replaces_the_one_before() -> None:
    metrics = filled()
    metrics.active("sha256:q")
    plans = [labels for name, labels in scrape(metrics) if name == "tiersplit_plan_info"]
    assert plans == [(("digest", "sha256:q"),)]


def test_a_stage_without_a_next_tier_has_no_link_to_tell_of() -> None:
    metrics = StageMetrics()
    metrics.watch_link(lambda: None)
    assert not [name for name, _ in scrape(metrics) if name.startswith("tiersplit_link")]


def test_the_metrics_that_the_documents_name_are_there() -> None:
    named = set(re.findall(r"`(tiersplit_(?!core|stage)[a-z_]+)`", DOCUMENT.read_text()))
    told = {name.removesuffix("_sum") for name, _ in scrape(filled())}
    assert len(named) >= 9
    assert not named - told


def test_where_a_node_has_no_ipv6_every_address_means_ipv4(monkeypatch) -> None:
    def without_ipv6(host, port, registry, serve=stage_metrics.serve_scrapes):
        if ":" in host:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return serve(host, port, registry)

    monkeypatch.setattr(stage_metrics, "serve_scrapes", without_ipv6)
    assert StageMetrics().serve("[::]:0").startswith("0.0.0.0:")


def test_an_address_that_cannot_be_opened_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OperationError, match=rf"{re.escape(address)} cannot be opened: Address already in use"):
            StageMetrics().serve(address)
