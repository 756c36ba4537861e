"""A watch that died and a queue that hangs are noticed."""

import asyncio

import pytest

from tiersplit_core.errors import OperationError
from tiersplit_operator.facts import Key
from tiersplit_operator.watchdog import MISSES, Watchdog

KEY = Key("shop", "digits")


class World:
    """The watch's view and the API server's, each a resourceVersion."""

    def __init__(self, watched="1", real="1", down=False):
        self.watched, self.real, self.down = watched, real, down

    def keys(self):
        return [KEY] if self.watched else []

    def resource(self, key):
        return {"metadata": {"resourceVersion": self.watched}} if self.watched else None

    async def get(self, kind, namespace, name):
        if self.down:
            raise OperationError("no answer")
        return {"metadata": {"resourceVersion": self.real}} if self.real else None


def looks(*worlds, stuck_s=0.0):
    now = [worlds[0]]

    class Current:
        def __getattr__(self, name):
            return getattr(now[0], name)

    async def main():
        dog = Watchdog(Current(), Current(), lambda: stuck_s, choose=lambda keys: keys[0])
        for world in worlds:
            now[0] = world
            await dog.look()
        return dog.complaint()

    return asyncio.run(main())


def test_a_watch_that_follows_is_alive():
    assert looks(*[World()] * 5) == ""


@pytest.mark.parametrize("real", ["2", ""])
def test_a_watch_that_shows_what_was_is_dead_after_three_looks(real):
    assert looks(*[World(real=real)] * (MISSES - 1)) == ""
    assert "the watch shows what was" in looks(*[World(real=real)] * MISSES)


def test_a_resource_that_is_behind_is_not_forgiven_because_another_one_is_not():
    other = Key("office", "digits")

    class Half(World):
        def keys(self):
            return [KEY, other]

        async def get(self, kind, namespace, name):
            return {"metadata": {"resourceVersion": "1"}} if namespace == other.namespace else None

    async def main():
        turns = [KEY, other, other]
        dog = Watchdog(Half(), Half(), lambda: 0.0, choose=lambda _keys: turns.pop(0))
        for _ in range(MISSES):
            await dog.look()
        return dog.complaint()

    assert "the watch shows what was" in asyncio.run(main())


def test_one_look_in_between_that_fits_forgives():
    assert looks(World(real="2"), World(real="2"), World(), World(real="2")) == ""


def test_an_api_server_that_does_not_answer_and_an_empty_cluster_say_nothing():
    assert looks(*[World(real="2", down=True)] * 5) == ""
    assert looks(*[World(watched="")] * 5) == ""


def test_a_queue_that_does_nothing_is_dead():
    assert "done nothing" in looks(World(), stuck_s=301.0)
    assert looks(World(), stuck_s=299.0) == ""
