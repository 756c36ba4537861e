"""The operator's own metrics."""

import contextlib

from prometheus_client import Counter, Gauge, Histogram

from tiersplit_operator.facts import Key

RECONCILE_SECONDS = Histogram(
    "tiersplit_operator_reconcile_seconds",
    "Seconds of one look at a resource.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RECONCILE_ERRORS = Counter("tiersplit_operator_reconcile_errors", "Looks at a resource that failed.", ["error"])
QUEUE_DEPTH = Gauge("tiersplit_operator_queue_depth", "Resources that wait for a look or are being looked at.")
QUEUE_LAG_SECONDS = Gauge("tiersplit_operator_queue_lag_seconds", "How late the queue is.")
API_CALLS = Counter("tiersplit_operator_api_calls", "Calls of the Kubernetes API.", ["verb", "kind", "status"])
API_SECONDS = Histogram(
    "tiersplit_operator_api_seconds", "Seconds of calls of the Kubernetes API.", ["verb"], buckets=(0.01, 0.1, 1, 10)
)
LEADS = Gauge("tiersplit_operator_leader", "1 where this replica leads.")
MOVES = Counter("tiersplit_operator_moves", "Moves of the split.", ["namespace", "name", "verdict"])
BY_OPERATOR = "operator"
PLANS = Counter("tiersplit_operator_plans", "Plans that were computed.", ["outcome"])
PLAN_SECONDS = Histogram(
    "tiersplit_operator_plan_seconds", "Seconds of one plan.", buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
STATUS_WRITES = Counter("tiersplit_operator_status_writes", "Statuses that were written.")
RESOURCES = Gauge("tiersplit_operator_resources", "Resources by condition.", ["condition", "status"])


def count_move(key: Key) -> None:
    """The operator moved a resource's split."""
    MOVES.labels(key.namespace, key.name, BY_OPERATOR).inc()


def forget_moves(key: Key) -> None:
    """The resource is gone: names that come and go must not fill memory."""
    with contextlib.suppress(KeyError):
        MOVES.remove(key.namespace, key.name, BY_OPERATOR)


class ResourceCounts:
    """Counts resources by the conditions that they have."""

    def __init__(self) -> None:
        self._known: dict[Key, dict[str, str]] = {}

    def note(self, key: Key, conditions: dict[str, str]) -> None:
        """Remember the conditions of a resource, as status per type."""
        self.forget(key)
        self._known[key] = conditions
        for condition, status in conditions.items():
            RESOURCES.labels(condition, status).inc()

    def forget(self, key: Key) -> None:
        """The resource is gone."""
        for condition, status in self._known.pop(key, {}).items():
            RESOURCES.labels(condition, status).dec()
