"""Many resources: adoption, reports, looks, and writes that fail, against an API and a registry in memory."""

import asyncio
import contextlib

import pytest

from tests.support.adaptation import (
    ADDRESSES,
    KEY,
    OWNER,
    PLACES,
    Api,
    Bundles,
    Clock,
    fleet,
    head,
    link,
    plans,
    reference,
    resource,
    target,
)
from tests.support.adaptation import settings as operator_settings
from tests.support.virtual_time import VirtualLoop
from tests.unit.tiersplit_operator.adaptation.test_operator_member import FAST, SLOW
from tiersplit_core.errors import OperationError
from tiersplit_operator.adaptation.succession import foreign_plans, own_plans
from tiersplit_operator.adaptation.writer import RouteWriter
from tiersplit_operator.facts import Key, Owner
from tiersplit_wire.v1 import route_pb2 as pb

EDGE = plans()[0]


class World:
    """A fleet that runs, and a clock that the test moves."""

    def __init__(self):
        self.api, self.bundles, self.clock = Api(), Bundles(), Clock()
        self.fleet, self.changed, self.moves = fleet(self.api, self.bundles, self.clock)

    async def adopt(self, weights="a", wanted=None, owner=OWNER):
        await self.fleet.adopt(target(weights, wanted, owner), self.api.record(owner.key))

    def report(self, rate=1e7, selectable=None, active="", key=KEY, **more):
        route = self.api.route(key)
        views = [link(PLACES[0], rate)]
        report = head(selectable or plans(), active or route.selected, epoch=route.epoch, estimates=views, **more)
        self.fleet.report(key, report)

    async def until(self, condition, what):
        """Let time pass until something is so."""
        for _ in range(200):
            if condition():
                return
            self.clock.now += 0.1
            await asyncio.sleep(0.02)
        raise AssertionError(f"never: {what}")


def run(work):
    """Run `work` in a world whose fleet runs beside it; the loop's seconds are virtual."""

    async def main():
        world = World()
        running = asyncio.create_task(world.fleet.run())
        try:
            await asyncio.wait_for(work(world), 30)
            assert not running.done()
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_a_target_gets_a_route_at_once_and_adopting_it_again_changes_nothing():
    async def work(world):
        await world.adopt()
        route = world.api.route()
        assert (route.selected, route.bundle, route.deployment) == (FAST, reference("a"), "net")
        assert {tier.tier: list(tier.addresses) for tier in route.tiers if tier.addresses} == {
            tier: [address] for tier, address in ADDRESSES.items()
        }
        for _ in range(5):
            await world.adopt()
        assert (world.api.writes, len(world.bundles.read)) == (1, 1)
        assert [move.reason for _, move in world.moves] == ["first plan"]

    run(work)


def test_a_watch_that_is_behind_is_not_taken_for_a_deleted_or_edited_route():
    async def work(world):
        await world.fleet.adopt(target(), None)
        before = world.api.record()
        await world.fleet.adopt(target(), None)
        await world.adopt(wanted=resource(annotations={"tiersplit.dev/pinned-plan": EDGE}))
        writes = world.api.writes
        await world.fleet.adopt(target(wanted=resource(annotations={"tiersplit.dev/pinned-plan": EDGE})), before)
        assert world.api.writes == writes == 2

    run(work)


def test_a_route_that_somebody_deleted_is_put_back_as_it_was_under_a_later_epoch():
    async def work(world):
        await world.adopt()
        before = world.api.route()
        world.api.kept.clear()
        await world.adopt()
        after = world.api.route()
        assert after.epoch > before.epoch
        after.epoch = before.epoch
        assert after == before

    run(work)


def test_a_route_that_somebody_edited_is_put_back():
    async def work(world):
        await world.adopt()
        before = world.api.route()
        edited = pb.Route.FromString(before.SerializeToString())
        edited.selected = "nonsense"
        document = next(iter(world.api.kept.values()))
        writer = RouteWriter(world.api, operator_settings(), OWNER, world.api.record())
        writer.epoch -= 1
        await writer.write(edited, "nonsense")
        assert world.api.route().selected == "nonsense"
        assert document["metadata"]["name"]
        await world.adopt()
        assert world.api.route().selected == FAST
        assert world.api.route().epoch > before.epoch

    run(work)


@pytest.mark.parametrize("payload", [b"\xff\xff garbage", b""])
def test_a_route_that_is_damaged_is_made_again(payload):
    async def work(world):
        await world.adopt()
        record = world.api.record()
        damaged = type(record)(**{name: getattr(record, name) for name in record.__slots__} | {"payload": payload})
        fresh, _, _ = fleet(world.api, world.bundles, world.clock)
        await fresh.adopt(target(), damaged)
        assert world.api.route().selected == FAST
        assert world.api.route().epoch > record.epoch

    run(work)


def test_a_pin_and_another_mode_count_though_they_change_no_bundle():
    async def work(world):
        await world.adopt()
        world.report()
        await world.adopt(wanted=resource(annotations={"tiersplit.dev/pinned-plan": EDGE}))
        await world.until(lambda: world.api.route().selected == EDGE, "the pin serves")
        await world.adopt(wanted=resource(adaptation={"mode": "Paused"}))
        assert world.api.route().guidance.mode == pb.Guidance.MODE_FOLLOW_SELECTED

    run(work)


def test_a_report_that_says_something_else_is_acted_on_within_a_second():
    async def work(world):
        await world.adopt(wanted=resource(adaptation={"pollingPeriodSeconds": 3600}))
        world.report()
        began = (loop := asyncio.get_running_loop()).time()
        down = [link(PLACES[0], 0, down=True)]
        world.fleet.report(KEY, head(plans(), FAST, epoch=world.api.route().epoch, estimates=down))
        await world.until(lambda: world.api.route().selected == EDGE, "the head falls back")
        assert loop.time() - began < 1

    run(work)


def test_a_write_that_fails_is_tried_again_at_the_next_look_and_counts_once():
    async def work(world):
        await world.adopt()
        world.report()
        world.api.down = "the API server is away"
        world.report(2e5)
        for _ in range(40):
            world.report(2e5)
            world.clock.now += 0.1
            await asyncio.sleep(0.02)
        assert (world.api.route().selected, len(world.moves)) == (FAST, 1)
        world.api.down = ""
        world.report(2e5)
        await world.until(lambda: world.api.route().selected == SLOW, "the move is written")
        await world.until(lambda: len(world.moves) == 2, "the move is told")

    run(work)


def test_one_slow_write_holds_up_nobody_else():
    async def work(world):
        other = Key("shop", "other")
        await world.adopt()
        await world.adopt(owner=Owner(other, "u-2"))
        world.report()
        gate, replace = asyncio.Event(), world.api.replace_config_map

        async def slow(document):
            if document["metadata"]["name"].startswith(KEY.name):
                await gate.wait()
            return await replace(document)

        world.api.replace_config_map = slow
        world.report(2e5)
        world.clock.now += 1
        world.report(2e5, key=other)
        await world.until(lambda: world.api.route(other).selected == SLOW, "the other one moves")
        assert world.api.route().selected == FAST
        gate.set()
        world.report(2e5)
        await world.until(lambda: world.api.route().selected == SLOW, "this one moves, too")

    run(work)


def test_what_serves_is_told_with_the_accuracy_that_was_measured():
    async def work(world):
        await world.adopt()
        world.report()
        await world.until(lambda: world.fleet.view(KEY).nodes, "it serves")
        seen = world.fleet.view(KEY)
        assert (seen.accuracy, seen.bits, seen.form) == (0.98, "", "")

    run(work)


def test_a_report_that_comes_while_the_route_is_written_is_acted_on_right_after():
    async def work(world):
        await world.adopt(wanted=resource(adaptation={"pollingPeriodSeconds": 3600}))
        world.report()
        await world.until(lambda: world.fleet.view(KEY).nodes, "it serves")
        world.clock.now += 3600
        world.api.gate, written = asyncio.Event(), world.api.writes
        world.report(2e5)
        await asyncio.sleep(0.3)
        down = [link(PLACES[0], 0, down=True)]
        world.fleet.report(KEY, head(plans(), FAST, epoch=world.api.route().epoch, estimates=down))
        assert world.api.writes == written
        world.api.gate.set()
        began = world.clock.now
        await world.until(lambda: world.api.route().selected == EDGE, "the head falls back")
        assert world.clock.now - began < 2

    run(work)


def test_a_newer_route_of_another_process_is_not_written_over():
    async def work(world):
        await world.adopt()
        world.report()
        record = world.api.record()
        other, _, _ = fleet(world.api, world.bundles, world.clock)
        await other.adopt(target(wanted=resource(annotations={"tiersplit.dev/pinned-plan": EDGE})), record)
        newer = world.api.route()
        world.report(2e5)
        world.clock.now += 2
        world.changed.clear()
        await world.until(lambda: KEY in world.changed, "the conflict is told")
        assert world.api.route() == newer

    run(work)


def test_another_bundle_takes_over_without_a_moment_in_which_nothing_verified_is_selected():
    async def work(world):
        await world.adopt()
        world.report()
        await world.adopt("b")
        route = world.api.route()
        names = own_plans(route)
        assert (route.selected, route.bundle) == (FAST, reference("b"))
        assert foreign_plans(route) == {FAST, EDGE}
        assert world.fleet.view(KEY).switching
        world.report(selectable=[FAST, EDGE], active=FAST)
        world.clock.now += 3
        await asyncio.sleep(0.3)
        assert world.api.route().selected == FAST
        world.report(selectable=[FAST, EDGE, *names.values()], active=FAST)
        await world.until(lambda: world.api.route().selected == names[FAST], "the next bundle serves")
        assert foreign_plans(world.api.route()) == {FAST, EDGE}
        world.report(selectable=[FAST, EDGE, *names.values()], active=names[FAST])
        await world.until(lambda: not foreign_plans(world.api.route()), "the old one leaves")
        assert world.fleet.view(KEY).selected == FAST

    run(work)


def test_a_process_that_takes_over_in_the_middle_of_a_switch_goes_on_with_it():
    async def work(world):
        await world.adopt()
        world.report()
        await world.adopt("b")
        before = world.api.route()
        second, _, _ = fleet(world.api, world.bundles, world.clock)
        await second.adopt(target("b"), world.api.record())
        after = world.api.route()
        after.epoch = before.epoch
        assert after == before

    run(work)


def test_resuming_adapts_what_the_route_has_and_waits_with_what_it_cannot_serve():
    async def work(world):
        await world.adopt()
        record = world.api.record()
        second, _, _ = fleet(world.api, world.bundles, world.clock)
        await second.resume(OWNER, resource(), record)
        assert (world.api.writes, second.view(KEY).selected) == (1, FAST)
        document = resource().model_dump(by_alias=True, mode="json", exclude_none=True)
        document["spec"]["tiers"], document["spec"]["links"] = document["spec"]["tiers"][:2], []
        document["spec"].pop("resultTier", None)
        fewer = type(resource()).model_validate(document)
        await second.resume(OWNER, fewer, record)
        assert second.view(KEY).selected == FAST
        third, _, _ = fleet(world.api, world.bundles, world.clock)
        world.bundles.down = True
        await third.resume(OWNER, resource(), record)
        assert third.view(KEY) is None

    run(work)


def test_a_registry_that_is_away_is_told_and_the_next_adoption_works():
    async def work(world):
        world.bundles.down = True
        with pytest.raises(OperationError):
            await world.adopt()
        assert (world.fleet.view(KEY), world.api.kept) == (None, {})
        world.bundles.down = False
        await world.adopt()
        assert world.fleet.view(KEY).selected == FAST

    run(work)


def test_a_resource_that_is_made_anew_under_the_same_name_owns_its_route():
    async def work(world):
        await world.adopt()
        epoch = world.api.route().epoch
        again = Owner(KEY, "u-2")
        await world.adopt(owner=again)
        assert world.api.record().owner_uid == "u-2"
        assert world.api.route().epoch > epoch

    run(work)


def test_what_was_dropped_is_looked_at_no_more():
    async def work(world):
        await world.adopt()
        world.fleet.drop(KEY)
        world.report(2e5)
        world.clock.now += 5
        await asyncio.sleep(0.3)
        assert (world.fleet.view(KEY), world.api.writes) == (None, 1)

    run(work)


def test_many_resources_share_one_reading_of_a_bundle():
    async def work(world):
        owners = [Owner(Key("shop", f"net-{i}"), f"u-{i}") for i in range(50)]
        await asyncio.gather(*(world.adopt(owner=owner) for owner in owners))
        assert len(world.bundles.read) == 1
        assert len(world.api.kept) == 50
        assert all(world.fleet.view(owner.key).selected == FAST for owner in owners)

    run(work)


def test_what_stays_the_same_is_not_told_again_and_a_drift_is():
    async def work(world):
        await world.adopt(wanted=resource(adaptation={"mode": "Recommend", "minGain": "100%"}))

        async def told(rate):
            world.changed.clear()
            for _ in range(20):
                world.report(rate)
                world.clock.now += 0.5
                await asyncio.sleep(0.12)
            return len(world.changed)

        await told(1e7)
        assert await told(1e7) == 0
        assert await told(1.05e7) == 0
        assert 1 <= await told(1.3e7) <= 3

    run(work)
