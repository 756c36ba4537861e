"""Somebody else's pod takes the cloud's time: the estimates say so, the split leaves the cloud, and comes back."""

from collections.abc import Callable, Iterator

import pytest

from tests.cluster import links
from tests.cluster.kubectl import apply
from tests.support.cluster_load import Load, loaded, verdict
from tests.support.cluster_prediction import Forecast
from tests.support.cluster_product import Product
from tests.support.cluster_session import CLOUD, DECLARED_BPS, EDGE, FAST_BPS, MDC, TIERS

BUSY_AT_LEAST, CALM_AT_MOST = 2.0, 1.3
NOTICED_S, TOLD_S = 60.0, 120.0
"""Heads act at once; a status that only differs in numbers is written once a minute."""
NAME = "neighbour"


@pytest.fixture
def neighbour(unshaped: Product) -> Iterator[Callable[[], None]]:
    """Starts a pod on the cloud that computes all the time; it goes with the test."""
    image = unshaped.pod("cloud")["spec"]["containers"][0]["image"]
    container = {
        "name": NAME,
        "image": image,
        "command": ["python", "-c", "while True: pass"],
        "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "64Mi"}},
    }
    spec = {"nodeName": CLOUD, "terminationGracePeriodSeconds": 0, "containers": [container]}
    about = {"name": NAME, "namespace": unshaped.namespace}
    yield lambda: apply([{"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}])
    unshaped.kubectl("delete", "pod", NAME, "--ignore-not-found", "--wait")


def test_a_neighbour_on_the_cloud_drives_the_split_away_and_lets_it_return(
    unshaped: Product, forecast: Forecast, neighbour: Callable[[], None], load_of: Callable[..., Load]
) -> None:
    load = load_of(unshaped)
    links.set_link(EDGE, MDC, FAST_BPS)

    def settled() -> bool:
        return load.recent_plan(5) in asked_for(unshaped, forecast)

    with loaded(load):
        # Held there until the status tells it: heads leave a busy tier sooner, and say little of what they left.
        alone = forecast.fastest_with("cloud", FAST_BPS, DECLARED_BPS)
        unshaped.pin(alone)
        unshaped.wait(lambda: load.recent_plan(20) == alone, "a plan with the cloud had settled", NOTICED_S)
        calm = loads(unshaped)
        busy = BUSY_AT_LEAST * calm["cloud"]
        neighbour()
        unshaped.wait(lambda: loads(unshaped)["cloud"] >= busy, "the cloud was seen busy", TOLD_S)
        assert loads(unshaped)["edge"] <= CALM_AT_MOST * max(calm["edge"], 1.0)
        unshaped.pin(None)
        unshaped.wait(lambda: settled() and load.recent_plan() != alone, "a busy cloud's plan served", NOTICED_S)
        unshaped.kubectl("delete", "pod", NAME, "--wait")
        unshaped.wait(lambda: loads(unshaped)["cloud"] < busy, "the cloud was seen calm", NOTICED_S)
        unshaped.wait(settled, "a plan for calm tiers served again", NOTICED_S, load.plans)
    assert verdict([load]) == {"sent": load.sent, "failed": 0, "duplicate": 0, "wrong": 0}, load.failures[:3]


def asked_for(product: Product, forecast: Forecast) -> frozenset[str]:
    """The plans that the loads of the moment may stay with."""
    seen = loads(product)
    return forecast.near(FAST_BPS, DECLARED_BPS, loads=tuple(seen.get(tier, 1.0) for tier in TIERS))


def loads(product: Product) -> dict[str, float]:
    """What the status says of each tier's load, 1.0 as profiled."""
    seen = product.status.get("observation", {}).get("tiers", [])
    return {tier["tier"]: float(tier["load"].removesuffix("%")) / 100 for tier in seen}
