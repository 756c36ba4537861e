"""Links between nodes have the bandwidth that they are given, at once, and nothing else is slowed."""

import pytest

from tests.cluster import links
from tests.e2e.cluster.conftest import Probes
from tests.support.patience import holds_in_one

COUNT = 500_000
PAYLOAD_SHARE = 1448 / 1514
"""Of what passes an Ethernet cable in full TCP segments."""


@pytest.mark.parametrize(("source", "target"), [("edge-a", "mdc"), ("mdc", "edge-a"), ("edge-b", "cloud")])
@pytest.mark.parametrize("bandwidth_bps", [2e6, 20e6])
def test_a_transfer_takes_the_time_that_its_bytes_need_on_the_link(
    unshaped: Probes, source: str, target: str, bandwidth_bps: float
) -> None:
    links.set_link(source, target, bandwidth_bps)
    count = round(COUNT * bandwidth_bps / 2e6)
    expected_s = pytest.approx(8 * count / bandwidth_bps / PAYLOAD_SHARE, rel=0.1)
    assert holds_in_one(lambda: unshaped.fetch(target, count, unshaped.addresses[source]) == expected_s)


def test_a_link_that_is_shaped_slows_no_other(unshaped: Probes) -> None:
    links.set_link("edge-a", "mdc", 1e6)
    assert fast(unshaped, "edge-b", "mdc")
    assert fast(unshaped, "edge-a", "cloud")


def test_each_direction_can_have_a_bandwidth_of_its_own(unshaped: Probes) -> None:
    links.set_link("edge-a", "cloud", 4e6, both_ways=False)
    assert unshaped.fetch("cloud", COUNT, unshaped.addresses["edge-a"]) > 0.9
    assert fast(unshaped, "edge-a", "cloud")


def test_a_cleared_link_is_as_fast_as_before(unshaped: Probes) -> None:
    links.set_link("edge-a", "mdc", 1e6)
    links.clear_link("edge-a", "mdc")
    assert links.shaped() == []
    assert fast(unshaped, "mdc", "edge-a")


def test_what_is_shaped_can_be_read_back(unshaped: Probes) -> None:
    links.set_link("edge-a", "mdc", 1e6)
    links.set_link("mdc", "cloud", 3e6, both_ways=False)
    links.set_link("edge-a", "mdc", 2e6)
    shaped = {(link.source, link.target, link.bandwidth_bps) for link in links.shaped()}
    assert shaped == {("edge-a", "mdc", 2_000_000), ("mdc", "edge-a", 2_000_000), ("mdc", "cloud", 3_000_000)}


def fast(probes: Probes, target: str, source: str) -> bool:
    """Whether what no link shapes takes a fraction of the seconds that the slowest one here needs for it."""
    return holds_in_one(lambda: probes.fetch(target, COUNT, probes.addresses[source]) < 0.5)
