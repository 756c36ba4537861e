"""Settings from the environment."""

import pytest

from tiersplit_core.errors import InputError
from tiersplit_operator.settings import settings_from

NEEDED = {
    "TIERSPLIT_STAGE_IMAGE": "stage:1",
    "TIERSPLIT_IMPORT_IMAGE": "import:1",
    "TIERSPLIT_REGISTRY": "oci://registry.test:5000/tiersplit/",
}


def test_three_variables_are_enough():
    found = settings_from(NEEDED)
    assert found.registry.prefix == "registry.test:5000/tiersplit"
    assert (found.namespaces, found.concurrency, found.log_level) == ((), 8, "info")


def test_all_else_can_be_set(tmp_path):
    (tmp_path / "ca.crt").write_text("PEM")
    found = settings_from(
        {
            **NEEDED,
            "TIERSPLIT_NAMESPACES": "shop, office",
            "TIERSPLIT_REGISTRY_PLAIN_HTTP": "true",
            "TIERSPLIT_REGISTRY_CA_FILE": str(tmp_path / "ca.crt"),
            "TIERSPLIT_PROMETHEUS_URL": "http://prometheus.test:9090/",
            "TIERSPLIT_PLANNER_MEMORY_MIB": "512",
            "TIERSPLIT_IDENTITY": "operator-1",
        }
    )
    assert found.namespaces == ("shop", "office")
    assert (found.registry.plain_http, found.registry.ca_pem) == (True, "PEM")
    assert found.prometheus.url == "http://prometheus.test:9090"
    assert found.planner.memory_bytes == 512 * 2**20
    assert found.lease.identity == "operator-1"


WRONG = {
    "STAGE_IMAGE": "",
    "CONCURRENCY": "0",
    "METRICS_PORT": "70000",
    "LOG_FORMAT": "xml",
    "REGISTRY_PLAIN_HTTP": "yes",
    "REGISTRY_CA_FILE": "nowhere/ca.crt",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_variable_is_named(name):
    with pytest.raises(InputError) as found:
        settings_from({**NEEDED, f"TIERSPLIT_{name}": WRONG[name]})
    assert found.value.path == f"TIERSPLIT_{name}"
