"""What integration tests share: a real API server."""

from collections.abc import Iterator

import pytest

from tests.cluster import apiserver
from tests.cluster.apiserver import ApiServer
from tests.support.cluster_gate import need


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """A real API server with etcd, without nodes or controllers; one for all tests of the run."""
    need("a real API server", apiserver.missing())
    with apiserver.api_server() as server:
        yield server
