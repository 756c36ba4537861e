"""The example on a real cluster: Ready, right answers, pods where they belong, within their memory."""

import re

import numpy as np

from examples.digits.camera import KnownPictures
from tests.support.cluster_load import ROWS
from tests.support.cluster_product import Product

POOLS = {"edge": "edge", "mdc": "micro-datacenter", "cloud": "cloud"}


def test_the_stock_client_gets_the_undivided_networks_answer(unshaped: Product, known: KnownPictures) -> None:
    pixels = ["pixels", "UINT8", [ROWS, 3, 96, 96], known.x[:ROWS].tolist()]
    (answer,) = unshaped.ask_stock_client([{"id": "one", "inputs": [pixels], "timeout_s": 30}])
    assert answer.get("id") == "one", answer
    (logits,) = answer["outputs"].values()
    assert np.allclose(logits, known.logits[:ROWS], 1e-3, 1e-3)


def test_every_tier_runs_on_its_own_pool(unshaped: Product) -> None:
    pool_of = {node["metadata"]["name"]: node["metadata"]["labels"] for node in unshaped.get("nodes")["items"]}
    for tier, pool in POOLS.items():
        nodes = {pod["spec"]["nodeName"] for pod in unshaped.pods(tier)}
        assert {pool_of[node]["tiersplit.dev/pool"] for node in nodes} == {pool}


def test_no_pod_is_killed_for_memory_and_the_edge_stays_within_its_limit(unshaped: Product) -> None:
    for tier in POOLS:
        (status,) = unshaped.pod(tier)["status"]["containerStatuses"]
        ended = [status[state].get("terminated", {}) for state in ("state", "lastState")]
        assert "OOMKilled" not in {one.get("reason") for one in ended}
    (container,) = unshaped.pod("edge")["spec"]["containers"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * 2**20
    (resident,) = re.findall(r"^process_resident_memory_bytes (\S+)", unshaped.metrics("edge"), re.MULTILINE)
    assert 0 < float(resident) <= limit
