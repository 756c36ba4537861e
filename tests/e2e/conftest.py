"""What end-to-end tests share: a real cluster."""

from collections.abc import Iterator

import pytest

from tests.cluster import cluster as test_cluster
from tests.cluster import requirements
from tests.cluster.layout import uses_existing_cluster
from tests.support.cluster_gate import need


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A cluster that is up: that of `KUBECONFIG`, or this machine's own, which ends with the tests if they began it."""
    need("a cluster", requirements.missing())
    if uses_existing_cluster():
        yield
        return
    was_up = test_cluster.is_up()
    test_cluster.up()
    yield
    if not was_up:
        test_cluster.down()


@pytest.fixture(scope="session")
def own_cluster(cluster: None) -> None:
    """A cluster of this harness's making, whose links and faults can be set."""
    need("a cluster of the harness's own", ["KUBECONFIG names another one"] if uses_existing_cluster() else [])
