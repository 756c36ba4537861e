"""The state of a run as people see it."""

from tiersplit_local.status import line, link_text, split_text


def _link(bandwidth_bps: float | None, down: bool = False) -> dict[str, object]:
    estimate = {"bandwidth_bps": 4.8e6, "latency_s": 0.005, "down": down}
    return {
        "from": "edge",
        "to": "mdc",
        "set": {"bandwidth_bps": bandwidth_bps, "latency_s": 0.0},
        "estimate": estimate,
    }


def test_links_read_like_sentences() -> None:
    assert link_text(_link(5e6)) == "edge:mdc 5 Mbps (estimated 4.8 Mbps + 5 ms)"
    assert link_text(_link(None)).startswith("edge:mdc unlimited")
    assert link_text(_link(0.0, down=True)) == "edge:mdc down (estimated down + 5 ms)"


def test_the_state_fits_one_line() -> None:
    own = {"accuracy": None, "bits": "", "form": ""}
    plans = [{"current": True, "layers": {"edge": 3, "mdc": 0, "cloud": 9}, **own}]
    requests = {"answered": 5, "failed": 0, "latency_s": 0.012}
    value = {"state": "Ready", "plans": plans, "requests": requests, "links": [_link(5e6)]}
    assert line(value).startswith("Ready: edge 3 | cloud 9; 5 answered, 0 failed, 12 ms each; edge:mdc 5 Mbps")
    assert split_text({"edge": 0}) == "nothing"
    value["plans"] = [plans[0] | {"accuracy": 0.9783, "bits": "W8A8", "form": "int8"}]
    assert line(value).startswith("Ready: edge 3 | cloud 9, W8A8 int8, 97.83% right; 5 answered")
