"""What nobody uses goes, and nothing else."""

import asyncio

from tiersplit_operator.facts import Key
from tiersplit_operator.sweep import Sweeper

ONE, TWO = Key("shop", "one"), Key("shop", "two")
PLACE = "oci://registry.test/tiersplit/net"


class Shelves:
    def __init__(self, tags):
        self.all = dict(tags)

    async def repositories(self, prefix):
        return [PLACE]

    async def tags(self, reference):
        return dict(self.all)

    async def delete(self, reference, digest):
        self.all = {tag: known for tag, known in self.all.items() if known != digest}


def sweeps(shelves, used, rounds=2, resources=(ONE,)):
    async def main():
        sweeper = Sweeper(shelves, "registry.test/tiersplit", used, lambda: resources)
        return [await sweeper.sweep() for _ in range(rounds)]

    return asyncio.run(main())


def test_what_is_unused_twice_in_a_row_goes():
    shelves = Shelves({"import-a": "d1", "plan-b": "d2", "profile-c": "d3"})
    assert sweeps(shelves, {ONE: frozenset({"d1"})}) == [0, 2]
    assert shelves.all == {"import-a": "d1"}


def test_what_is_used_by_the_second_look_stays():
    async def main():
        shelves, used = Shelves({"plan-b": "d2"}), {ONE: frozenset()}
        sweeper = Sweeper(shelves, "registry.test/tiersplit", used, lambda: [ONE])
        await sweeper.sweep()
        used[ONE] = frozenset({"d2"})
        await sweeper.sweep()
        return shelves.all

    assert asyncio.run(main()) == {"plan-b": "d2"}


def test_what_is_used_while_others_are_removed_stays():
    used = {ONE: frozenset()}

    class Slow(Shelves):
        async def delete(self, reference, digest):
            await super().delete(reference, digest)
            used[ONE] = frozenset({"d2"})

    shelves = Slow({"plan-a": "d1", "plan-b": "d2"})
    assert sweeps(shelves, used) == [0, 1]
    assert shelves.all == {"plan-b": "d2"}


def test_tags_of_people_protect_what_they_name():
    shelves = Shelves({"plan-b": "d2", "v1": "d2", "latest": "d4"})
    assert sweeps(shelves, {ONE: frozenset()}) == [0, 0]


def test_nothing_goes_before_every_resource_was_looked_at():
    shelves = Shelves({"plan-b": "d2"})
    assert sweeps(shelves, {ONE: frozenset()}, rounds=5, resources=(ONE, TWO)) == [0] * 5
