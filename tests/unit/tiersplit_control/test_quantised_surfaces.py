"""Plans with bit widths in a surface: looked for, rated, and kept where they are accurate and the fastest."""

from dataclasses import replace
from functools import partial

import pytest

from tests.support.control_catalogue import graph, intent, profile, quantised, statistics
from tiersplit_control.intent import DeclaredLink, Intent
from tiersplit_control.quality import Quality
from tiersplit_control.quantised import Quantising
from tiersplit_control.surfaces import Profiles, Settled, Waiting, problem_of, replay
from tiersplit_core.errors import InfeasibleError
from tiersplit_core.planning.conditions import Conditions
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.problem import Tier
from tiersplit_core.planning.segments import plan_segments, segments_of
from tiersplit_core.profile.layers import Timing
from tiersplit_core.profile.refine import emulate, merge_segments
from tiersplit_core.quantization.forms import RunForm

WHOLE = 0.98
STEPS = 100
"""Cutting, rating and measuring come to an end within these."""


def slow_edge(**changes: object) -> Intent:
    """A first tier that is a third as fast as the cloud, behind a link of a megabit, and may run bytes."""
    given: dict[str, object] = {
        "tiers": (Tier("edge"), Tier("cloud")),
        "links": (DeclaredLink("edge", "cloud", 1e6, 0.0),),
        "weight_bits": (8, 32),
        "activation_bits": (8, 32),
        "max_drop": 0.01,
    }
    return intent(**{**given, **changes})


class World:
    """Cuts, rates and measures whatever is asked for; integer kernels are three times as fast, and packed ones half."""

    def __init__(self, accuracy: float, asked: Intent) -> None:
        self.accuracy, self.asked = accuracy, asked
        self.profiles: Profiles = {"edge": quantised(3.0), "cloud": emulate(profile(), "cloud", 1.0)}
        self.blobs: dict[str, str] = {}
        self.accuracies: dict[str, float] = {}
        self.rated: list[Plan] = []
        self.ratings = 0

    def settled(self) -> Settled:
        for _ in range(STEPS):
            quality = Quality(statistics(), self.accuracies, WHOLE)
            found = replay(graph(), self.profiles, self.blobs, self.asked, quality)
            if isinstance(found, Settled):
                return found
            self.do(found)
        raise AssertionError("it does not settle")

    def do(self, waiting: Waiting) -> None:
        specs = {spec.id: spec for spec in waiting.round.specs}
        self.blobs |= {spec.id: f"sha256:{spec.id}" for spec in waiting.work.uncut}
        self.rated += waiting.work.unrated
        self.ratings += bool(waiting.work.unrated)
        self.accuracies |= {plan.digest: self.accuracy for plan in waiting.work.unrated}
        for tier, ids in waiting.work.unmeasured.items():
            timings = {self.blobs[name]: Timing(self._seconds(tier, specs[name])) for name in ids}
            self.profiles = {**self.profiles, tier: merge_segments(self.profiles[tier], {1: timings})}

    def _seconds(self, tier, spec) -> float:
        seen = quantised(3.0).batches[1] if tier == "edge" else profile().batches[1]
        narrow = dict(spec.widths)
        return sum((seen.forms[spec.form] if name in narrow else seen.layers)[name].median_s for name in spec.layers)


def at(bandwidth_bps: float) -> Conditions:
    return Conditions((bandwidth_bps,), (1.0, 1.0))


def test_an_accurate_quantised_head_is_the_best_plan_of_a_slow_link() -> None:
    world = World(0.979, slow_edge())
    surface = world.settled().surface
    best = surface.best(at(1e6))
    assert best.plan.widths
    assert set(best.plan.widths.values()) <= {(8, 8)}
    assert best.plan.digest in world.accuracies
    floats = [s for s, entry in surface.ranked(at(1e6)) if not entry.plan.widths]
    assert surface.ranked(at(1e6))[0][0] < min(floats)


def test_an_inaccurate_quantised_head_is_never_served() -> None:
    world = World(0.95, slow_edge())
    surface = world.settled().surface
    assert world.rated
    assert not any(plan.widths for plan in surface.plans)
    assert surface == World(0.95, slow_edge(weight_bits=(32,))).settled().surface


def test_a_least_accuracy_replaces_the_drop() -> None:
    surface = World(0.95, slow_edge(max_drop=None, least_accuracy=0.94)).settled().surface
    assert any(plan.widths for plan in surface.plans)


@pytest.mark.parametrize("accuracy", [0.95, 0.979])
def test_two_rounds_of_rating_are_enough_with_all_bit_widths(accuracy: float) -> None:
    world = World(accuracy, slow_edge(weight_bits=(2, 4, 6, 8), activation_bits=(2, 4, 6, 8)))
    world.settled()
    assert len(world.rated) > 1
    assert 1 <= world.ratings <= 2


def test_no_plan_is_rated_twice_and_all_that_is_served_was_cut_and_rated() -> None:
    world = World(0.979, slow_edge())
    settled = world.settled()
    assert len({plan.digest for plan in world.rated}) == len(world.rated)
    found = replay(graph(), world.profiles, world.blobs, world.asked, Quality(statistics(), world.accuracies, WHOLE))
    assert found == settled, "it is the same after a restart"
    assert all(plan.digest in world.accuracies for plan in settled.surface.plans if plan.widths)


@pytest.mark.parametrize(
    "quality",
    [Quality(None, {}, WHOLE), Quality(statistics(), {}, None)],
    ids=["without calibration", "without validation"],
)
def test_without_calibration_or_validation_layers_run_as_they_are(quality: Quality) -> None:
    world = World(1.0, slow_edge())
    found = replay(graph(), world.profiles, {}, slow_edge(), quality)
    assert isinstance(found, Waiting)
    assert not found.work.unrated
    assert not any(plan.widths for plan in found.round.surface.plans)


def test_where_no_layer_fits_as_it_is_fewer_bits_make_it_fit() -> None:
    # The input, the first layer's value, and less than the 1,000 bytes of its weights.
    tight = Tier("edge", 4 * 65536 + 4 * 16384 + 600)
    asked = slow_edge(tiers=(tight, Tier("cloud")), weight_bits=(2, 4, 8), raw_input_stays=True)
    world = World(0.979, asked)
    surface = world.settled().surface
    assert surface.entries
    assert all(plan.widths for plan in surface.plans)
    with pytest.raises(InfeasibleError, match="no plan with fewer bits"):
        World(0.5, asked).settled()


@pytest.mark.parametrize("weights,expected", [(250, (RunForm.INT8,)), (200_000, (RunForm.INT8, RunForm.PACKED))])
def test_packed_weights_are_looked_at_where_not_all_layers_fit_as_bytes(weights, expected) -> None:
    known = statistics()
    layers = tuple(replace(layer, weight_elements=weights) for layer in known.layers)
    asked = slow_edge(tiers=(Tier("edge", 500_000), Tier("cloud")))
    world = World(1.0, asked)
    quality = Quality(replace(known, layers=layers), {}, WHOLE)
    problem_at = partial(problem_of, graph(), world.profiles, asked)
    assert Quantising(asked, quality, world.profiles["edge"], problem_at).forms == expected


def test_each_plan_runs_its_own_variants() -> None:
    settled = World(0.979, slow_edge()).settled()
    specs = segments_of(graph(), settled.surface.plans)
    for plan in settled.surface.plans:
        chosen = {name for name, _ in plan_segments(plan, specs)}
        layers = [layer for spec in specs if spec.id in chosen for layer in spec.layers]
        assert sorted(layers) == sorted(plan.placement)


def test_what_is_served_depends_on_the_drop_alone_not_on_the_order_of_rating() -> None:
    first = World(0.979, slow_edge()).settled().surface
    again = World(0.979, replace(slow_edge(), max_drop=0.5)).settled().surface
    assert {plan.digest for plan in first.plans} == {plan.digest for plan in again.plans}
