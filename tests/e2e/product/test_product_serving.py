"""The example on a real cluster: Ready, right answers, pods where they belong, within their memory."""

import re

import numpy as np

from examples.digits.camera import KnownPictures
from tests.support.cluster_load import ROWS
from tests.support.cluster_product import Product
from tiersplit_core.units import parse_quantity

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
    pod = unshaped.pod("edge")
    limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert 0 < resident_bytes(unshaped, pod["metadata"]["name"]) <= parse_quantity(limit)


def resident_bytes(product: Product, pod: str) -> int:
    """What all processes of a pod have in memory."""
    statuses = product.kubectl("exec", pod, "--", "sh", "-c", "cat /proc/[0-9]*/status")
    return 1024 * sum(map(int, re.findall(r"^VmRSS:\s+(\d+) kB", statuses, re.MULTILINE)))
