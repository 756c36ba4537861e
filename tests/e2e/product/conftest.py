"""The chart, the digits bundle, and one deployment of it that the tests of a session share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.digits.camera import KnownPictures
from tests.cluster import links
from tests.support import cluster_digits
from tests.support.cluster_load import Load
from tests.support.cluster_prediction import Forecast
from tests.support.cluster_product import Product
from tests.support.cluster_session import PERIOD_S, Installation, deployed, forecast_of, installed


@pytest.fixture(scope="session")
def installation(own_cluster: None) -> Iterator[Installation]:
    """The chart with images of this tree, and a namespace that goes with everything in it."""
    with installed() as found:
        yield found


@pytest.fixture(scope="session")
def known() -> KnownPictures:
    """Pictures with the undivided network's answers."""
    return cluster_digits.pictures()


@pytest.fixture(scope="session")
def digits(installation: Installation) -> Iterator[Product]:
    """The example, Ready, its edge on one node."""
    with deployed(installation) as product:
        yield product


@pytest.fixture
def load_of(known: KnownPictures) -> Callable[..., Load]:
    """Makes a load on a deployment's front Service."""

    def make(product: Product, period_s: float = PERIOD_S, head: str = "") -> Load:
        return Load(head or product.head, product.name, known, period_s)

    return make


@pytest.fixture
def unshaped(digits: Product) -> Iterator[Product]:
    """The deployment with no pin and fast links, before and after the test."""
    links.clear()
    digits.pin(None)
    digits.wait_for("Ready")
    yield digits
    links.clear()
    digits.pin(None)


@pytest.fixture
def forecast(digits: Product, installation: Installation, tmp_path: Path) -> Forecast:
    """What `tiersplit plan` says for the bundle that serves."""
    return forecast_of(digits, installation, tmp_path / "served")
