"""Forced moves on the test cluster under load: 200 between resident plans, 50 with other pods. Is anything lost?"""

import itertools
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.report import count, publish, row
from tests.cluster import cluster
from tests.support import cluster_digits
from tests.support.cluster_load import Load, loaded, verdict
from tests.support.cluster_product import roll, rolled
from tests.support.cluster_session import PERIOD_S, TIERS, deployed, forecast_of, installed

RESIDENT, WITH_PODS = 200, 50
MOVE_S, ROLL_S = 30, 240


def main():
    cluster.up()
    with installed() as installation, deployed(installation) as product, tempfile.TemporaryDirectory() as folder:
        plans = [entry.plan.digest for entry in forecast_of(product, installation, Path(folder) / "b").surface.entries]
        rows = []
        for name, moves in (
            (f"{RESIDENT} moves between resident plans", lambda load: resident(product, load, plans)),
            (f"{WITH_PODS} moves with other pods", lambda _: with_pods(product)),
        ):
            load = Load(product.head, product.name, cluster_digits.pictures(), PERIOD_S)
            with loaded(load):
                took = moves(load)
            found = verdict([load])
            rows += [count(f"{name}, {found['sent']} requests: {kind}", found[kind]) for kind in list(found)[1:]]
            rows.append(row(f"{name}: until requests run under it", took, "s"))
    publish("cluster_moves", rows, "The digits example on the four-node test cluster, a request every 0.5 s.")


def resident(product, load, plans):
    took = []
    for digest in itertools.islice(itertools.cycle(plans), RESIDENT):
        began = time.monotonic()
        product.pin(digest)
        product.wait(lambda digest=digest: load.recent_plan(1) == digest, f"plan {digest} served", MOVE_S)
        took.append(time.monotonic() - began)
    return took


def with_pods(product):
    took = []
    for number, tier in zip(range(WITH_PODS), itertools.cycle(TIERS), strict=False):
        before, began = product.pod(tier)["metadata"]["name"], time.monotonic()
        roll(product, tier, str(number))
        product.wait(lambda tier=tier, before=before: rolled(product, tier, before), f"{tier} was replaced", ROLL_S)
        took.append(time.monotonic() - began)
    return took


if __name__ == "__main__":
    main()
