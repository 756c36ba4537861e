"""One look at a resource: what is written, against an API in memory."""

import asyncio
import json
import math
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.operator_context import manifest, settings
from tests.support.operator_facts import (
    GIVEN,
    KEY,
    NOW,
    TIERS,
    artifact,
    digest,
    final,
    given,
    job,
    pod,
    profiled,
    route,
)
from tiersplit_core.errors import OperationError
from tiersplit_operator.clients.session import EndingError, RejectedError
from tiersplit_operator.facts import AdaptationView, JobState, Move
from tiersplit_operator.gather import Gatherer
from tiersplit_operator.projection import child_of
from tiersplit_operator.reconcile import Reconciler

PLANNED = artifact("plan", outcome=final())


class World:
    """The cluster, the registry, the planner and adaptation, in memory."""

    def __init__(self, body=None, answers=None):
        self.body = given() if body is None else body
        self.answers = {GIVEN: profiled()} if answers is None else answers
        self.objects, self.foreign, self.refused = {}, {}, {}
        self.calls, self.adopted, self.ordered, self.told, self.dropped = [], [], [], [], []
        self.now_s, self.seen, self.found_route, self.found_pods = 1000.0, None, None, ()
        self.registry_down, self.ending, self.tried = False, "", 0
        gatherer = Gatherer(settings(), self, self, self, self, self, wall=lambda: NOW)
        self.reconciler = Reconciler(self, gatherer, self, self, self, self, clock=lambda: self.now_s)

    def look(self):
        self.calls.clear()
        return asyncio.run(self.reconciler(KEY))

    # the store
    def resource(self, key):
        return self.body

    def keys(self):
        return [KEY]

    def children(self, key):
        return tuple(self.objects.values())

    def pods(self, key):
        return self.found_pods

    def route(self, key):
        return self.found_route

    # the API
    async def get(self, kind, namespace, name):
        return self.foreign.get((kind, name))

    async def find(self, kind, namespace=None, labels="", fields=""):
        return []

    async def apply(self, document):
        name = (document["kind"], document["metadata"]["name"])
        self.tried += 1
        if self.ending:
            raise EndingError(self.ending, 403)
        if name in self.refused:
            raise RejectedError(self.refused[name], 422)
        self.calls.append(("apply", *name))
        live = {**document, "metadata": {**document["metadata"], "uid": f"uid-{name[1]}"}}
        self.objects[name] = child_of(document["kind"], live)
        return document

    async def apply_status(self, document):
        self.calls.append(("status",))
        self.body = {**self.body, "status": document["status"]}
        return document

    async def delete(self, kind, namespace, name, uid):
        self.calls.append(("delete", kind, name))
        self.objects.pop((kind, name), None)

    # the registry
    async def artifact(self, reference):
        if self.registry_down:
            raise OperationError("no answer")
        if "plan-" in reference:
            return self.answers.get("plan")
        return self.answers.get(reference)

    # the planner
    def order(self, key, order):
        self.ordered.append(order.key)

    def failures(self):
        return {}

    # adaptation
    async def adopt(self, target, found):
        self.adopted.append(target.artifact.digest)

    async def resume(self, owner, resource, found):
        self.adopted.append("as it stands")

    def view(self, key):
        return self.seen

    def drop(self, key):
        self.dropped.append(key)

    # people
    async def tell(self, owner, reason, message, *, warning=False):
        self.told.append(reason)

    @property
    def conditions(self):
        return {item["type"]: item for item in self.body["status"]["conditions"]}


def planned():
    world = World(answers={GIVEN: profiled(), "plan": PLANNED})
    world.look()
    world.look()
    return world


def served():
    world = planned()
    world.found_route = route(PLANNED.digest)
    world.seen = AdaptationView(PLANNED.digest, "sha256:" + "a" * 64, "edge:2,cloud:3")
    world.found_pods = tuple(pod(tier) for tier in TIERS)
    for tier in TIERS:
        child = world.objects["Deployment", f"digits-{tier}"]
        rolled = replace(child.workload, desired=1, updated=1, ready=1, observed=True)
        world.objects["Deployment", f"digits-{tier}"] = replace(child, workload=rolled)
    world.look()
    return world


def test_the_second_look_writes_nothing():
    world = planned()
    world.look()
    assert world.calls == []


def test_a_plan_is_ordered_and_the_status_says_so():
    world = World()
    world.look()
    assert len(world.ordered) == 1
    assert world.conditions["Planned"]["reason"] == "Planning"
    assert "BundleGiven" in world.told


def test_the_route_is_made_before_the_pods_that_mount_it():
    world = World(answers={GIVEN: profiled(), "plan": PLANNED})
    order = []
    world.adopted = type("Order", (list,), {"append": lambda self, item: order.append("route")})()
    apply = world.apply

    async def noted(document):
        order.append(document["kind"])
        return await apply(document)

    world.apply = noted
    world.look()
    assert order.index("route") < order.index("Deployment")


def test_it_becomes_ready():
    world = served()
    assert world.conditions["Ready"]["status"] == "True"
    assert world.conditions["Reconciling"]["status"] == "False"
    assert "Serving" in world.told


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget"])
def test_what_is_deleted_or_edited_is_put_back_alone(kind):
    world = planned()
    name = (kind, "digits-edge")
    del world.objects[name]
    world.look()
    assert world.calls == [("apply", *name)]
    child = world.objects[name]
    edited = json.loads(child.document)
    edited["metadata"]["labels"]["tiersplit.dev/tier"] = "elsewhere"
    world.objects[name] = replace(child, document=json.dumps(edited).encode())
    world.look()
    assert world.calls == [("apply", *name)]


def test_a_child_that_somebody_elses_resource_of_the_same_name_owned_is_waited_for():
    world = planned()
    name = ("Service", "digits-edge")
    world.objects[name] = replace(world.objects[name], owner_uid="u-0")
    assert world.look() <= 5.0
    assert world.calls == []


def test_an_object_that_is_not_ours_is_not_taken_over():
    world = World(answers={GIVEN: profiled(), "plan": PLANNED})
    world.foreign["Service", "digits"] = {"metadata": {"name": "digits"}}
    assert world.look() <= 30.0
    assert ("apply", "Service", "digits") not in world.calls
    assert ("apply", "Deployment", "digits-edge") in world.calls
    assert world.conditions["Stalled"]["reason"] == "Rejected"
    assert "not ours" in world.conditions["Ready"]["message"]


def test_what_another_operator_made_is_left_alone_until_its_name_is_taken_off():
    world = served()
    name = ("ServiceAccount", "digits-stage")
    account = world.objects[name]
    assert account.annotations["tiersplit.dev/operator"] == "default/tiersplit-operator"
    world.objects[name] = replace(account, annotations={**account.annotations, "tiersplit.dev/operator": "far/other"})
    del world.objects["Service", "digits"]
    world.adopted.clear()
    assert world.look() is None
    assert (world.calls, world.adopted, world.dropped, world.told[-1]) == ([], [], [KEY], "ManagedElsewhere")
    assert PLANNED.digest in world.reconciler.used[KEY]  # the registry may be shared
    world.objects[name] = replace(account, annotations={}, document=b'{"metadata": {}}')
    world.look()
    assert {("apply", *name), ("apply", "Service", "digits")} <= set(world.calls)


def test_what_the_api_server_refuses_is_a_condition_and_recovers_by_itself():
    world = World(answers={GIVEN: profiled(), "plan": PLANNED})
    world.refused["Deployment", "digits-edge"] = "spec.template.spec.priorityClassName: no such class"
    world.look()
    assert "no such class" in world.conditions["Stalled"]["message"]
    world.refused.clear()
    world.look()
    assert world.conditions["Stalled"]["status"] == "False"


def test_superseded_jobs_go_and_those_of_others_stay():
    world = served()
    for name, owner in (("digits-import-old", "u-1"), ("digits-import-theirs", "u-9")):
        world.objects["Job", name] = replace(job(name, JobState.RUNNING), owner_uid=owner)
    world.look()
    assert ("delete", "Job", "digits-import-old") in world.calls
    assert ("Job", "digits-import-theirs") in world.objects


def test_a_tier_that_is_gone_from_the_spec_goes_only_once_its_replacement_serves():
    world = served()
    spec = {**world.body["spec"], "tiers": [{"name": "edge"}, {"name": "cloud"}]}
    world.body = {**world.body, "spec": spec, "metadata": {**world.body["metadata"], "generation": 2}}
    other = artifact("other plan", outcome=final())
    world.answers["plan"] = other
    world.look()
    assert ("Deployment", "digits-mdc") in world.objects
    assert world.conditions["Reconciling"]["status"] == "True"
    world.found_route = route(other.digest)
    world.look()
    assert ("Deployment", "digits-mdc") not in world.objects
    assert ("Service", "digits-mdc") not in world.objects
    assert ("Deployment", "digits-edge") in world.objects


def test_a_registry_that_is_down_removes_and_changes_nothing_and_recovers_by_itself():
    world = served()
    world.registry_down = True
    world.look()
    assert [call for call in world.calls if call[0] != "status"] == []
    assert world.conditions["Ready"]["status"] == "True"
    world.registry_down = False
    world.look()
    assert world.conditions["Imported"]["status"] == "True"


def test_a_route_that_cannot_be_made_is_said_and_stops_nothing_else():
    world = World(answers={GIVEN: profiled(), "plan": PLANNED})

    async def adopt(target, found):
        raise OperationError("the surface is damaged")

    world.adopt = adopt
    assert world.look() <= 5.0
    assert world.conditions["Ready"]["reason"] == "RouteNotWritten"
    assert "the surface is damaged" in world.conditions["Ready"]["message"]
    assert ("apply", "Service", "digits") in world.calls


def test_numbers_that_drift_are_written_once_a_minute():
    world = served()
    world.seen = replace(world.seen, observed_s=1.0)
    world.look()
    world.now_s += 30
    world.seen = replace(world.seen, observed_s=2.0)
    after_s = world.look()
    assert ("status",) not in world.calls
    assert after_s <= 60
    world.now_s += 60
    world.look()
    assert ("status",) in world.calls


def test_heads_that_move_by_themselves_each_second_cost_six_writes_a_minute_and_a_condition_is_written_at_once():
    world, writes = served(), 0
    world.look()
    for second in range(120):
        world.now_s += 1
        moved = Move(
            NOW + timedelta(seconds=second + 1), "sha256:" + "b" * 64, "its link is faster", node=f"edge-{second}"
        )
        world.seen = replace(world.seen, moves=(moved, *world.seen.moves)[:20])
        world.look()
        writes += world.calls.count(("status",))
    assert 11 <= writes <= 13
    world.seen = replace(world.seen, fallback="no head reports its link")
    world.look()
    assert ("status",) in world.calls


def test_what_no_watch_tells_is_looked_at_later_and_later_until_something_else_is_found():
    world = World(answers={})
    assert [world.look() for _ in range(4)] == [30.0, 60.0, 120.0, 120.0]
    world.registry_down = True
    assert [world.look(), world.look()] == [15.0, 30.0]
    world.registry_down, world.answers = False, {GIVEN: profiled(), "plan": PLANNED}
    assert world.look() is None


def test_a_resource_that_is_gone_is_forgotten():
    world = served()
    world.body = {**world.body, "metadata": {**world.body["metadata"], "deletionTimestamp": "2026-05-01T12:00:00Z"}}
    assert world.look() == math.inf
    assert world.dropped == [KEY]
    assert world.calls == []
    assert KEY not in world.reconciler.used


def test_what_goes_during_its_look_is_forgotten_after_it():
    world = served()
    body, world.resource = world.body, lambda _key: shown.pop(0) if shown else None
    shown = [body]
    world.look()
    assert world.calls == []  # everything stands already
    assert world.dropped == [KEY]
    assert KEY not in world.reconciler.used


def test_what_the_registry_must_keep_is_remembered():
    world = served()
    assert {digest("bundle"), PLANNED.digest} <= world.reconciler.used[KEY]


def test_a_model_that_is_imported_by_a_job_orders_nothing():
    world = World(manifest(), answers={})
    world.look()
    assert world.ordered == []
    assert [call for call in world.calls if call[1:2] == ("Job",)]


def test_in_a_namespace_that_is_being_deleted_nothing_is_put_back_again_and_again():
    world = World()
    world.ending = "create Service: the namespace is being terminated"
    assert world.look() == math.inf
    assert (world.tried, world.dropped) == (1, [KEY])
    assert world.look() == math.inf
    assert world.tried == 1


def test_a_resource_that_is_made_anew_after_its_namespace_was_deleted_is_looked_at():
    world = World()
    world.ending = "create Service: the namespace is being terminated"
    world.look()
    world.ending = ""
    world.body = {**world.body, "metadata": {**world.body["metadata"], "uid": "another"}}
    assert world.look() != math.inf
    assert world.tried > 1
