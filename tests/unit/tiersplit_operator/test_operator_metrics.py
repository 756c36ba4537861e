"""The operator's own metrics."""

import prometheus_client

from tiersplit_operator import metrics
from tiersplit_operator.facts import Key

KEY = Key("shop", "short-lived")


def moves():
    about = {"namespace": KEY.namespace, "name": KEY.name, "verdict": metrics.BY_OPERATOR}
    return prometheus_client.REGISTRY.get_sample_value("tiersplit_operator_moves_total", about)


def test_a_resource_that_is_gone_leaves_no_series():
    metrics.count_move(KEY)
    assert moves() == 1
    metrics.forget_moves(KEY)
    metrics.forget_moves(KEY)
    assert moves() is None
