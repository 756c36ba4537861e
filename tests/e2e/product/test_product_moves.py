"""Moves that are forced on the split while requests flow: between resident plans, with other pods, another image."""

import itertools
from collections.abc import Callable

from tests.cluster.images import STAGE, variant
from tests.cluster.install import install
from tests.support.cluster_load import Load, loaded, verdict
from tests.support.cluster_prediction import Forecast
from tests.support.cluster_product import Product, image_of, roll, rolled
from tests.support.cluster_session import TIERS, installed_values

RESIDENT_MOVES, POD_MOVES = 50, 10
MOVE_S, ROLL_S = 30.0, 180.0


def test_fifty_moves_between_resident_plans_lose_nothing(
    unshaped: Product, forecast: Forecast, load_of: Callable[..., Load]
) -> None:
    load = load_of(unshaped)
    targets = itertools.cycle(entry.plan.digest for entry in forecast.surface.entries)
    with loaded(load):
        for digest in itertools.islice(targets, RESIDENT_MOVES):
            unshaped.pin(digest)
            unshaped.wait(lambda digest=digest: load.recent_plan(1) == digest, f"plan {digest} served", MOVE_S)
    assert verdict([load]) == {"sent": load.sent, "failed": 0, "duplicate": 0, "wrong": 0}, load.failures[:3]
    assert len(load.plans()) == len(forecast.surface.entries)


def test_ten_moves_to_other_pods_happen_without_losing_a_request(
    unshaped: Product, load_of: Callable[..., Load]
) -> None:
    load = load_of(unshaped)
    with loaded(load):
        for number, tier in zip(range(POD_MOVES), itertools.cycle(["cloud", "mdc", "edge"]), strict=False):
            before = unshaped.pod(tier)["metadata"]["name"]
            roll(unshaped, tier, str(number))
            unshaped.wait(lambda tier=tier, before=before: rolled(unshaped, tier, before), f"{tier} rolled", ROLL_S)
    assert verdict([load]) == {"sent": load.sent, "failed": 0, "duplicate": 0, "wrong": 0}, load.failures[:3]


def test_an_upgrade_of_the_chart_to_another_image_loses_nothing(
    unshaped: Product, load_of: Callable[..., Load]
) -> None:
    load, before = load_of(unshaped), installed_values()
    images = before["images"]
    stage = images["stage"]
    reference = f"{images['registry']}/{stage['name']}:{stage['tag']}"
    later = variant(STAGE, reference, "later")
    after = {**before, "images": {**images, "stage": {**stage, "tag": later.rpartition(":")[2]}}}
    try:
        with loaded(load):
            install(after)
            for tier in TIERS:
                unshaped.wait(lambda tier=tier: image_of(unshaped, tier) == later, f"{tier} has the image", ROLL_S)
        assert verdict([load]) == {"sent": load.sent, "failed": 0, "duplicate": 0, "wrong": 0}, load.failures[:3]
    finally:
        install(before)
        for tier in TIERS:
            unshaped.wait(lambda tier=tier: image_of(unshaped, tier) == reference, f"{tier} is as before", ROLL_S)
