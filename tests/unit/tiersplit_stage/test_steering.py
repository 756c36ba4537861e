"""What a head decides by itself, with the time and the link given."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.guided import PAIR, TIERS, best_plan, guide, plans_of, tiny_surface
from tests.support.stages import TinyModel
from tiersplit_core.planning.problem import Objective
from tiersplit_stage.estimates import Estimates
from tiersplit_stage.head import Head
from tiersplit_stage.meter import Observed
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.plans import compile_plans
from tiersplit_stage.steering import Steering, steers
from tiersplit_wire.v1 import route_pb2 as pb

SETTLED_S = 60.0


class FakeLink:
    """A link that answers what the test sends over it."""

    source = "edge"

    def __init__(self, target):
        self.target, self.usable, self.seen = target, True, []

    def take_observations(self):
        seen, self.seen = self.seen, []
        return seen


class Scene:
    """A head whose plans have proven themselves, and a clock that the test moves."""

    def __init__(self, model, tiers=PAIR, **guidance):
        self.now, self.model, self.tiers = 0.0, model, tiers
        self.surface = tiny_surface(tiers, guidance.pop("objective", Objective.LATENCY))
        self.link = FakeLink(tiers[1])
        self.pipeline = SimpleNamespace(tier="edge", link=self.link, segment_seconds={})
        self.head = Head(self.pipeline, StageMetrics(), 8, lambda: None)
        self.estimates = Estimates(self.pipeline, self.clock)
        self.steering = Steering(self.head, self.pipeline, self.estimates, self.clock)
        self.epoch = 0
        self.take(self.route(**guidance))
        self.head.verified = set(self.head.plans)

    def clock(self):
        return self.now

    def route(self, selected="000", plans=None, **guidance):
        self.epoch += 1
        named = plans_of(self.surface) if plans is None else plans
        route = self.model.route(self.epoch, named, selected, {}, tiers=self.tiers, fallback="000")
        return guide(route, self.surface, **guidance)

    def take(self, route):
        self.estimates.follow(route)
        self.steering.follow(route)
        self.head.update(compile_plans(route, "edge"), route.selected, route.fallback, steered=steers(route))

    def sends(self, bandwidth_bps, count=12, latency_s=0.01):
        for size in (64, 16384) * count:
            self.link.seen.append(Observed(size, 2 * latency_s + 8 * size / bandwidth_bps, idle_before=True))

    def look(self, after_s=0.75):
        """What the head uses after so long, the last half second of which it saw nothing else."""
        for step in (after_s - 0.5, 0.5):
            self.glance(step)
        return self.head.active

    def glance(self, after_s=0.25):
        self.now += after_s
        self.estimates.gather()
        self.steering.look()
        return self.head.active

    def settle(self, bandwidth_bps):
        """Past the start, on the plan that this bandwidth asks for."""
        for _ in range(2):
            self.sends(bandwidth_bps)
            self.look(SETTLED_S)
        assert self.head.active == best_plan(self.surface, *[bandwidth_bps] * (len(self.tiers) - 1))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return TinyModel(tmp_path_factory.mktemp("steering") / "bundle")


@pytest.fixture
def scene(model):
    return Scene(model)


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(5.0, 9.0).map(lambda exponent: 10.0**exponent), objective=st.sampled_from(Objective))
def test_each_head_takes_the_plan_that_the_surface_says_for_its_own_link(model, rate, objective):
    made = Scene(model, bandwidth_bps=3e7, objective=objective)
    made.sends(rate, 40)
    chosen = made.look()
    seen = made.estimates.onward.estimate
    conditions = SimpleNamespace(load=(), bandwidth_bps=(seen.bandwidth_bps,), batch=1, latency_s=(seen.latency_s,))
    assert chosen == next(
        "".join(str(PAIR.index(entry.plan.placement[name])) for name in "abc")
        for _, entry in made.surface.ranked(conditions)
    )


def test_a_head_that_has_seen_nothing_goes_by_what_the_controller_sees(model):
    for rate in (1e6, 1e7, 1e9):
        made = Scene(model, bandwidth_bps=rate)
        assert made.look() == best_plan(made.surface, rate)


def test_a_link_that_was_not_seen_for_ten_seconds_is_what_the_controller_says_it_is(model):
    made = Scene(model, bandwidth_bps=1e6)
    made.sends(1e7)
    assert made.look() == "011"
    assert made.look(9.0) == "011"
    assert made.look(2.0) == "000"


def test_without_leave_the_controllers_plan_is_used(model):
    made = Scene(model)
    route = made.route(selected="011")
    route.guidance.mode = pb.Guidance.MODE_FOLLOW_SELECTED
    made.take(route)
    made.sends(1e5)
    assert (made.look(), made.steering.reason) == ("011", "")
    made.take(made.route(selected="111"))
    assert made.head.active == "011", "a head that steers does not follow what is selected"


def test_a_route_without_guidance_is_followed(model):
    made = Scene(model)
    route = made.model.route(99, ["000", "011"], "011", {}, tiers=PAIR)
    made.take(route)
    made.sends(1e5)
    assert made.look() == "011"


def test_what_is_not_allowed_or_not_verified_is_never_chosen(model):
    made = Scene(model)
    route = made.route(bandwidth_bps=2e7)
    del route.guidance.allowed[:]
    route.guidance.allowed.extend(["000", "111"])
    made.take(route)
    assert best_plan(made.surface, 2e7) == "011"
    assert made.look() == "111"
    other = Scene(model)
    other.head.verified = {"000"}
    assert other.look() == "000"
    other.head.verified = {"000", "011"}
    assert other.look() == "011"


def test_a_route_does_not_make_a_head_jump_unless_its_plan_is_gone(scene):
    scene.settle(1e7)
    scene.take(scene.route(selected="000"))
    assert scene.head.active == "011"
    scene.take(scene.route(selected="000", plans=["000", "111"]))
    assert scene.head.active == "000"


def test_a_plan_that_the_controller_takes_away_is_left_at_once_and_starts_no_cooldown(scene):
    scene.settle(1e7)
    route = scene.route(cooldown_s=1000.0)
    route.guidance.allowed.remove("011")
    scene.take(route)
    scene.head.verified = {"000", "011"}
    assert scene.look() == "000"
    scene.head.verified = {"000", "011", "111"}
    scene.sends(2e7, 40)
    assert scene.look() == "111"


def test_moves_wait_for_the_cooldown_across_routes_and_a_dead_link_does_not(scene):
    scene.settle(1e7)
    scene.sends(1e6)
    assert scene.look() == "000"
    scene.take(scene.route(cooldown_s=30.0))
    scene.sends(1e7)
    assert scene.look(5.0) == "000"
    scene.sends(1e7)
    assert scene.look(25.0) == "011"
    scene.link.usable = False
    assert scene.look() == "011", "what may pass is waited for"
    assert scene.look(1.0) == "000"
    assert "link edge:cloud is down" in scene.steering.reason
    scene.link.usable = True
    scene.sends(1e7)
    assert scene.look(1.0) == "000"
    scene.sends(1e7)
    assert scene.look(30.0) == "011"


def test_a_gain_below_the_least_one_is_no_reason_to_move(model):
    made = Scene(model, cooldown_s=0.0)
    made.settle(2.9e6)
    made.sends(3.15e6, 40)  # 011 takes 136 ms there, edge-only 140 ms
    assert made.look() == "000"
    made.sends(4e6, 40)
    assert made.look() == "011"


def test_a_glitch_of_the_estimate_moves_nothing_and_what_the_controller_says_moves_at_once(scene):
    scene.settle(1e7)
    for rate in (1e5, 1e7) * 5:
        scene.sends(rate)
        assert scene.glance() == "011"
    scene.take(scene.route(loads={"cloud": 1000.0}))
    assert scene.glance() == "000"


@pytest.mark.parametrize(("rate", "looks"), [(1e9, 1), (4e6, 2)])
def test_the_more_there_is_to_gain_the_shorter_it_must_last(model, rate, looks):
    made = Scene(model, cooldown_s=0.0)
    made.settle(1e6)
    made.sends(rate, 40)
    assert [made.glance() for _ in range(looks)] == ["000"] * looks
    assert made.glance() == best_plan(made.surface, rate)


def test_after_its_link_stood_still_a_head_moves_as_soon_as_it_sees_how_slow_it_is(scene):
    scene.settle(1e7)
    scene.link.usable = False
    assert scene.glance(0.5) == "011"
    scene.link.usable = True
    scene.sends(1e5)
    assert scene.glance(0.01) == "000"


def test_of_several_better_plans_the_best_may_change_while_they_prove_themselves(scene):
    scene.settle(1e6)
    rates = (1e7, 1e9)
    better = {best_plan(scene.surface, rate) for rate in rates}
    assert len(better - {scene.head.active}) == 2
    for rate in rates:
        scene.sends(rate)
        assert scene.glance(0.05) == "000"
    scene.sends(rates[0])
    assert scene.glance() in better


def test_a_plan_that_must_prove_itself_again_is_kept_for_a_moment(scene):
    scene.settle(1e7)
    scene.head.verified = {"000"}
    assert scene.look() == "011"
    scene.sends(1e7)
    assert scene.look(1.0) == "000"


def test_later_links_that_are_down_and_loads_count_as_the_controller_says(model):
    made = Scene(model, TIERS, bandwidth_bps=1e9)
    made.sends(1e9)
    assert made.look() == "111"
    made.take(made.route(bandwidth_bps=1e9, loads={"mdc": 100.0}))
    assert made.look() == "000"
    assert "% better" in made.steering.reason


def test_its_own_load_counts_as_it_is_measured(scene):
    route = scene.route(bandwidth_bps=2e6)
    for name in "abc":
        route.profiles.add(segment=name, tier="edge", batch=1, seconds=0.05)
    scene.take(route)
    assert scene.look() == "000"
    scene.pipeline.segment_seconds["b", 1] = [0.25] * 30
    assert scene.look() == "011"


def test_a_link_that_nobody_saw_is_no_ground_for_a_decision(model):
    made = Scene(model)
    made.settle(1e7)
    route = made.route()
    del route.guidance.links[:]
    made.take(route)
    made.sends(1e5)
    assert made.look() == "000", "its own link it has seen"
    three = Scene(model, TIERS)
    route = three.route()
    del route.guidance.links[1:]
    three.take(route)
    assert three.look() is not None
    assert three.steering.reason == ""


def test_a_head_alone_on_its_tier_has_nothing_to_steer_by_and_serves(model):
    made = Scene(model)
    made.pipeline.link = None
    assert made.look() == best_plan(made.surface, 1e7)
