"""Waiting for kopf's indexes costs by the object, not by pairs of them."""

import asyncio
from collections import Counter

import pytest
from kopf._cogs.aiokits import aiotoggles
from kopf._core.reactor import orchestration

from tests.support.patience import PATIENCE_S
from tiersplit_operator.indexing import Toggles, wait_in_linear_time

OBJECTS = 200


def index(make):
    """Objects are listed one after the other, and each waits for all then: how often states were looked at."""
    looked, indexed = Counter(), []

    def everything(states):
        looked["states"] += 1
        return all(states)

    async def object_of(toggles, toggle):
        await toggles.drop_toggle(toggle)
        await toggles.wait_for(True)
        indexed.append(toggle.name)

    async def main():
        toggles = make(everything)
        listed = await toggles.make_toggle(name="listed")
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as objects:
            for number in range(OBJECTS):
                toggle = await toggles.make_toggle(name=str(number))
                objects.create_task(object_of(toggles, toggle))
                await asyncio.sleep(0)
            assert not indexed
            await toggles.drop_toggle(listed)

    asyncio.run(main())
    assert len(indexed) == OBJECTS
    return looked["states"]


def test_every_object_goes_on_once_all_are_indexed_and_states_are_looked_at_a_few_times_for_each():
    assert index(Toggles) <= 8 * OBJECTS < index(aiotoggles.ToggleSet)


def test_what_waits_for_a_set_that_is_off_again_is_woken_too():
    async def main():
        toggles = Toggles(any)
        toggle = await toggles.make_toggle(True)
        waiting = asyncio.create_task(toggles.wait_for(False))
        await asyncio.sleep(0)
        assert not waiting.done()
        await toggles.drop_toggles({toggle})
        async with asyncio.timeout(PATIENCE_S):
            await waiting

    asyncio.run(main())


def test_kopf_makes_its_sets_so_and_the_one_of_what_is_indexed_tells_when_it_is_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aiotoggles, "ToggleSet", aiotoggles.ToggleSet)
    told: list[str] = []
    wait_in_linear_time(lambda: told.append("indexed"))

    async def main() -> None:
        indexed, paused = (orchestration.aiotoggles.ToggleSet(fn) for fn in (all, any))
        assert isinstance(indexed, Toggles)
        toggles = [await indexed.make_toggle() for _ in range(2)]
        await paused.make_toggle(True)
        await indexed.drop_toggle(toggles[0])
        assert not told
        await indexed.drop_toggle(toggles[1])

    asyncio.run(main())
    assert told == ["indexed"]
