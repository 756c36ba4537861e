"""Links between nodes have the bandwidth that they are given, at once, and nothing else is slowed."""

import pytest

from tests.cluster import links
from tests.e2e.cluster.conftest import Probes

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
    seconds = unshaped.fetch(target, count, unshaped.addresses[source])
    assert seconds == pytest.approx(8 * count / bandwidth_bps / PAYLOAD_SHARE, rel=0.1)


def test_a_link_that_is_shaped_slows_no_other(unshaped: Probes) -> None:
    links.set_link("edge-a", "mdc", 1e6)
    assert unshaped.fetch("edge-b", COUNT, unshaped.addresses["mdc"]) < 0.5
    assert unshaped.fetch("edge-a", COUNT, unshaped.addresses["cloud"]) < 0.5


def test_each_direction_can_have_a_bandwidth_of_its_own(unshaped: Probes) -> None:
    links.set_link("edge-a", "cloud", 4e6, both_ways=False)
    assert unshaped.fetch("cloud", COUNT, unshaped.addresses["edge-a"]) > 0.9
    assert unshaped.fetch("edge-a", COUNT, unshaped.addresses["cloud"]) < 0.5


def test_a_cleared_link_is_as_fast_as_before(unshaped: Probes) -> None:
    links.set_link("edge-a", "mdc", 1e6)
    links.clear_link("edge-a", "mdc")
    assert links.shaped() == []
    assert unshaped.fetch("mdc", COUNT, unshaped.addresses["edge-a"]) < 0.5


def test_what_is_shaped_can_be_read_back(unshaped: Probes) -> None:
    links.set_link("edge-a", "mdc", 1e6)
    links.set_link("mdc", "cloud", 3e6, both_ways=False)
    links.set_link("edge-a", "mdc", 2e6)
    shaped = {(link.source, link.target, link.bandwidth_bps) for link in links.shaped()}
    assert shaped == {("edge-a", "mdc", 2_000_000), ("mdc", "edge-a", 2_000_000), ("mdc", "cloud", 3_000_000)}
