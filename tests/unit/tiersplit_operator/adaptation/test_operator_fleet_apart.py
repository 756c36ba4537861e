"""Many resources: what one of them, its pods or a person wrote stops nobody else."""

from dataclasses import replace

from tests.support.adaptation import KEY, OWNER, PLACES, digest, fleet, head, link, plans, reference, resource
from tests.unit.tiersplit_operator.adaptation.test_operator_fleet import EDGE, run
from tests.unit.tiersplit_operator.adaptation.test_operator_member import FAST
from tiersplit_operator.adaptation.member import Member
from tiersplit_operator.facts import Key, Owner


def test_a_bundle_outside_of_our_registry_is_not_read_whoever_wrote_it_into_the_route():
    async def work(world):
        await world.adopt()
        route = world.api.route()
        route.bundle = f"oci://metadata.test/tiersplit/models@{digest('a')}"
        record = replace(world.api.record(), payload=route.SerializeToString())
        second, _, _ = fleet(world.api, world.bundles, world.clock)
        await second.resume(OWNER, resource(), record)
        assert (world.bundles.read, second.view(KEY)) == ([reference("a")], None)

    run(work)


def test_a_resource_whose_look_breaks_keeps_nobody_else_from_moving(monkeypatch):
    other = Owner(Key("shop", "other"), "u-2")
    whole = Member.look

    def look(member, now):
        if member.owner == other and member.reports.heard:
            raise ValueError("a report that nobody thought of")
        return whole(member, now)

    async def work(world):
        await world.adopt()
        await world.adopt(owner=other)
        world.report(key=other.key)
        down = [link(PLACES[0], 0, down=True)]
        world.fleet.report(KEY, head(plans(), FAST, epoch=world.api.route().epoch, estimates=down))
        await world.until(lambda: world.api.route().selected == EDGE, "the head falls back")

    monkeypatch.setattr(Member, "look", look)
    run(work)


def test_plans_that_the_route_does_not_have_are_in_no_status():
    async def work(world):
        await world.adopt()
        world.report(active="x" * 1000, instance="odd")
        world.report(instance="sound")
        assert world.fleet.view(KEY).nodes == {FAST: 1}

    run(work)
