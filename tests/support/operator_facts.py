"""What one look at a resource may find: builders, keyed by what matters to a test."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.support.operator_context import manifest, settings
from tiersplit_operator.decide.planning import MAX_STEPS
from tiersplit_operator.decide.steps import decide
from tiersplit_operator.facts import (
    AdaptationView,
    ArtifactRecord,
    Child,
    Facts,
    JobState,
    JobStatus,
    Key,
    Pod,
    RouteRecord,
    WorkloadStatus,
)
from tiersplit_operator.plan_outcome import PlanOutcome

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
KEY = Key("shop", "digits")
REPOSITORY = "registry.test:5000/tiersplit/digits"
GIVEN = f"oci://{REPOSITORY}:v1"
TIERS = ("edge", "mdc", "cloud")
PLAN = "sha256:" + "a" * 64


def digest(text):
    return "sha256:" + text.encode().hex().ljust(64, "0")[:64]


def artifact(name="bundle", **fields):
    """A bundle of a graph, in the model's repository."""
    return ArtifactRecord(REPOSITORY, digest(name), digest(name), digest("graph"), **fields)


def profiled(name="bundle"):
    """One that carries the profiles of all tiers."""
    return artifact(name, profiles={tier: digest(f"profile {tier}") for tier in TIERS})


def given(**spec):
    """A resource that names a bundle."""
    return manifest(**{"model": {"source": {"bundle": GIVEN}}, **spec})


def facts(body=None, **fields):
    """What is known; the registry has the given bundle, profiles included."""
    return Facts(KEY, NOW, body or given(), **{"artifacts": {GIVEN: profiled()}, **fields})


def settled(known, *answers, options=None, limit=2 * MAX_STEPS):
    """Decide until nothing more is needed; the registry answers from `answers`, in turn, then with nothing.

    An answer is an ArtifactRecord or None for the next reference that is asked for.
    """
    left = list(answers)
    progress = decide(known, options or settings())
    for _ in range(limit):
        if not progress.needs:
            return progress
        found = {reference: left.pop(0) if left else None for reference in sorted(progress.needs)}
        known = replace(known, artifacts={**known.artifacts, **found})
        progress = decide(known, options or settings())
    raise AssertionError(f"still needs {progress.needs}")


def waiting(uncut=0, unmeasured=None, round_number=1, unrated=0):
    """What planning says when segments are to be cut or measured first, or plans to be rated."""
    return PlanOutcome(False, 3, round_number, uncut=uncut, unrated=unrated, unmeasured=unmeasured or {}).to_text()


def final(plans=3, **fields):
    """What planning says when it settled."""
    return PlanOutcome(True, plans, 2, 0.04, base_bytes={"edge": 2**26}, **fields).to_text()


def job(name, state, *, failed=0, ago_s=0.0, message=""):
    """A Job of ours."""
    finished = NOW - timedelta(seconds=ago_s) if state in {JobState.SUCCEEDED, JobState.FAILED} else None
    return Child("Job", name, f"uid-{name}", "u-1", job=JobStatus(state, failed, finished, message))


def workload(tier, ready=1, desired=1, **fields):
    """A tier's Deployment."""
    labels = {"tiersplit.dev/tier": tier}
    status = WorkloadStatus(desired, desired, ready, **fields)
    return Child("Deployment", f"digits-{tier}", f"uid-{tier}", "u-1", labels, workload=status)


def pod(tier="edge", **fields):
    """A stage."""
    return Pod(**{"name": f"digits-{tier}-1", "uid": "p", "tier": tier, "ready": True, **fields})


def route(bundle, selected=PLAN):
    """The route ConfigMap."""
    return RouteRecord("7", "r", "u-1", 3, bundle, selected, b"")


def front():
    """The front Service of the edge."""
    document = {"spec": {"selector": {"tiersplit.dev/tier": "edge"}}}
    return Child("Service", "digits", "uid-front", "u-1", document=json.dumps(document).encode())


def serving(bundle="plan", **fields):
    """Everything stands and requests are answered."""
    view = AdaptationView(digest(bundle), PLAN, "edge:2,cloud:3", selectable=frozenset({PLAN}))
    known = {
        "route": route(digest(bundle)),
        "adaptation": view,
        "pods": tuple(pod(tier) for tier in TIERS),
        "children": tuple(workload(tier) for tier in TIERS),
    }
    found = facts(**{**known, **fields})
    return replace(found, children=(*found.children, front()))
