"""What went while no watch looked is found missing and forgotten, in our indexes and in kopf's own memories."""

import asyncio

import pytest

from tests.support.operator_context import settings
from tiersplit_api.v1alpha1.types import KIND
from tiersplit_core.errors import OperationError
from tiersplit_operator.census import Census, Known
from tiersplit_operator.facts import Key
from tiersplit_operator.handlers import Handlers
from tiersplit_operator.resources.context import DEPLOYMENT_LABEL, MANAGED_BY, MANAGER

KEY = Key("shop", "digits")
RESOURCE = Known(KIND, "shop", "digits", "u-1")
POD = Known("Pod", "shop", "digits-edge-1", "p-1")


class Api:
    """Lists what is there."""

    def __init__(self, *present):
        self.present, self.asked, self.down, self.while_listed = present, [], "", lambda: None

    async def find(self, kind, namespace=None, labels=""):
        self.asked.append((kind, namespace, labels))
        if kind == self.down:
            raise OperationError("no answer")
        self.while_listed()
        of_kind = [known for known in self.present if known.kind == kind and namespace in (None, known.namespace)]
        return [{"metadata": {"uid": known.uid}} for known in of_kind]


class Watches:
    """What the watches have shown."""

    def __init__(self, *shown):
        self.shown, self.gone = set(shown), []

    def known(self):
        return frozenset(self.shown)

    async def vanished(self, gone):
        self.gone.append(gone)


def taken(watches, api, namespaces=()):
    asyncio.run(Census(watches, api, namespaces).take())
    return watches.gone


def test_what_is_missing_in_the_list_is_forgotten_and_nothing_else():
    other = Known("Pod", "shop", "digits-edge-2", "p-2")
    assert taken(Watches(RESOURCE, POD, other), Api(RESOURCE, other)) == [POD]


def test_an_object_of_the_same_name_made_anew_does_not_stand_for_the_one_that_went():
    assert taken(Watches(POD), Api(POD._replace(uid="p-9"))) == [POD]


def test_what_appears_while_the_list_is_read_stays():
    watches, api = Watches(POD), Api(POD)
    api.while_listed = lambda: watches.shown.add(POD._replace(name="late", uid="p-2"))
    assert taken(watches, api) == []


@pytest.mark.parametrize("down", ["Pod", KIND])
def test_an_api_server_that_does_not_answer_says_nothing_about_what_is_gone(down):
    api = Api()
    api.down = down
    (left,) = (known for known in (RESOURCE, POD) if known.kind != down)
    assert taken(Watches(RESOURCE, POD), api) == [left]


def test_only_what_is_watched_is_listed():
    api = Api(RESOURCE, POD)
    assert taken(Watches(RESOURCE, POD), api, ("shop", "lab")) == []
    labels = {KIND: "", "Pod": f"{MANAGED_BY}={MANAGER}"}
    assert api.asked == [(kind, place, labels[kind]) for kind in ("Pod", KIND) for place in ("shop", "lab")]


def body(known, **labels):
    about = {"namespace": known.namespace, "name": known.name, "uid": known.uid, "labels": labels}
    return {"kind": known.kind, "metadata": about}


class World:
    """Handlers with kopf's own stores, which are told what watches show."""

    def __init__(self):
        self.added, self.lost = [], []
        self.handlers = Handlers(settings(), lambda key, _: self.added.append(key), self.lost.append, lambda _: None)
        kept = self.handlers.remembered()
        self.indexers, self.memories = kept["indexers"], kept["memories"]
        self.indexers.ensure(self.handlers.registry._indexing.get_all_handlers())
        self.handlers._indexes = tuple(
            self.indexers[name].index for name in ("resources", "children", "pods", "routes")
        )

    async def show(self, known, event=None):
        found = body(known, **{DEPLOYMENT_LABEL: KEY.name})
        await self.memories.recall(found)
        index = {KIND: "resources", "Pod": "pods"}[known.kind]
        self.indexers[index].replace(self.indexers.make_key(found), {KEY: known.uid})
        changed = self.handlers._resource_changed if known.kind == KIND else self.handlers._child_changed
        await changed(type=event, body=found)

    def shown(self, position):
        return list(self.handlers.indexes()[position].get(KEY, ()))

    @property
    def remembered(self):
        return len(list(self.memories.iter_all_memories()))


def run(work):
    world = World()
    asyncio.run(work(world))
    return world


def test_a_pod_that_went_unseen_leaves_the_index_and_kopfs_memories_and_its_resource_is_looked_at():
    async def work(world):
        await world.show(RESOURCE)
        await world.show(POD)
        world.added.clear()
        await Census(world.handlers, Api(RESOURCE)).take()

    world = run(work)
    assert (world.shown(2), world.remembered, world.handlers.known()) == ([], 1, {RESOURCE})
    assert (world.added, world.lost) == ([KEY], [])


def test_a_resource_that_went_unseen_is_forgotten_by_everybody():
    async def work(world):
        await world.show(RESOURCE)
        await Census(world.handlers, Api()).take()

    world = run(work)
    assert (world.shown(0), world.remembered, world.handlers.known(), world.lost) == ([], 0, frozenset(), [KEY])


def test_a_resource_that_was_made_anew_unseen_takes_the_place_of_the_one_before():
    async def work(world):
        again = RESOURCE._replace(uid="u-2")
        await world.show(RESOURCE)
        await world.show(again)
        assert len(world.shown(0)) == 2
        world.added.clear()
        await Census(world.handlers, Api(again)).take()

    world = run(work)
    assert (world.shown(0), world.added, world.lost) == (["u-2"], [KEY], [])


def test_what_a_watch_says_is_gone_is_known_no_more():
    async def work(world):
        await world.show(POD)
        await world.show(POD, "DELETED")

    assert run(work).handlers.known() == frozenset()
