"""The surface against planning again, and its look-up."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import reference_cost
from tests.support.problem_documents import document
from tests.support.problems import problems
from tiersplit_core.errors import InfeasibleError, ProblemError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Objective, Serving
from tiersplit_core.planning.problem_json import problem_from_json
from tiersplit_core.planning.solution import Status
from tiersplit_core.planning.surface import (
    Conditions,
    SurfaceBox,
    build_surface,
    surface_from_json,
    surface_to_json,
)
from tiersplit_core.quantization.forms import RunForm

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LOADED = (1.0, 3.0)


def under(problem, conditions):
    """The problem as it is under other conditions."""
    names = [tier.name for tier in problem.tiers]
    load = dict(zip(names, conditions.load or [1.0] * len(names), strict=True))
    layers = [replace(la, seconds={t: s * load[t] for t, s in la.seconds.items()}) for la in problem.layers]
    pairs = zip(problem.links, conditions.bandwidth_bps, strict=True)
    links = tuple(replace(li, bandwidth_bps=b) for li, b in pairs)
    tiers = tuple(replace(tier, serving=loaded(tier.serving, load[tier.name])) for tier in problem.tiers)
    return replace(problem, layers=tuple(layers), links=links, tiers=tiers)


def loaded(serving, load):
    return Serving(**{name: load * seconds for name, seconds in asdict(serving).items()})


def box_around(problem, *, loads):
    ranges = tuple((link.bandwidth_bps / 50, link.bandwidth_bps * 50) for link in problem.links)
    return SurfaceBox(ranges, (LOADED,) * len(problem.tiers) if loads else ())


def draw_conditions(box, generator):
    bandwidth = tuple(float(np.exp(generator.uniform(np.log(a), np.log(b)))) for a, b in box.bandwidth_bps)
    return Conditions(bandwidth, tuple(float(generator.uniform(a, b)) for a, b in box.load))


def assert_within_epsilon(surface, problem, conditions):
    best = surface.best(conditions)
    optimum = solve(under(problem, conditions)).objective_s
    found = surface.objective_s(best.plan.digest, conditions)
    assert found == pytest.approx(reference_cost.objective(under(problem, conditions), best.plan.placement), rel=1e-9)
    if optimum == 0 and found > 0:
        assert surface.epsilon > 1e300
        return
    assert optimum * (1 - 1e-9) <= found <= optimum * (1 + surface.epsilon) * (1 + 1e-9) + 1e-15


@RELAXED
@given(
    problems(max_tiers=3, objectives=(Objective.LATENCY,), limited=False),
    st.booleans(),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([1, 3, 8]),
    st.integers(0, 2**31),
)
def test_the_best_plan_is_within_epsilon_of_planning_again_everywhere(problem, loads, epsilon, most, seed):
    box = box_around(problem, loads=loads)
    surface = build_surface({1: problem}, box, epsilon, most)
    assert len(surface.entries) <= most
    generator = np.random.default_rng(seed)
    for _ in range(8):
        assert_within_epsilon(surface, problem, draw_conditions(surface.box, generator))


@RELAXED
@given(problems(max_tiers=3, objectives=(Objective.LATENCY,), limited=True), st.integers(0, 2**31))
def test_with_memory_limits_the_best_plan_fits_and_is_within_epsilon(problem, seed):
    box = box_around(problem, loads=False)
    if solve(problem).status is Status.INFEASIBLE:
        with pytest.raises(InfeasibleError):
            build_surface({1: problem}, box)
        return
    surface = build_surface({1: problem}, box)
    assert all(reference_cost.allowed(problem, entry.plan.placement) for entry in surface.entries)
    generator = np.random.default_rng(seed)
    for _ in range(4):
        assert_within_epsilon(surface, problem, draw_conditions(surface.box, generator))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems(max_tiers=3, objectives=(Objective.THROUGHPUT,), limited=False))
def test_a_throughput_surface_says_on_which_grid_its_gap_holds(problem):
    box = box_around(problem, loads=False)
    surface = build_surface({1: problem}, box)
    assert "grid points" in surface.scope
    middle = Conditions(tuple(1 / ((1 / a + 1 / b) / 2) for a, b in box.bandwidth_bps))
    if len(problem.links) == 2:
        return
    best = surface.best(middle)
    assert surface.objective_s(best.plan.digest, middle) == pytest.approx(
        reference_cost.objective(under(problem, middle), best.plan.placement), rel=1e-9
    )


def chain(count=6, batch=1):
    """A chain whose values shrink, so that the best split moves to the cloud as the bandwidth grows."""
    layers = [
        {
            "name": f"l{i}",
            "inputs": [f"l{i - 1}" if i else "input"],
            "output_bytes": 100_000 // (i + 1) ** 2,
            "weight_bytes": 10,
            "seconds": {"edge": 0.05, "cloud": 0.005},
        }
        for i in range(count)
    ]
    return problem_from_json(
        {
            "graph": {"input_bytes": 400_000, "layers": layers, "outputs": [f"l{count - 1}"]},
            "tiers": [{"name": "edge"}, {"name": "cloud"}],
            "links": [{"from": "edge", "to": "cloud", "bandwidth_bps": 5e6, "latency_s": 0.01}],
            "batch": batch,
        }
    )


BOX = SurfaceBox(((1e4, 1e9),))


def test_breakpoints_are_where_two_plans_cost_the_same():
    surface = build_surface({1: chain()}, BOX)
    points = surface.breakpoints(0, Conditions((1e6,)))
    assert len(points) == len(surface.entries) - 1 >= 2
    assert [p.bandwidth_bps for p in points] == sorted(p.bandwidth_bps for p in points)
    for point in points:
        at = Conditions((point.bandwidth_bps,))
        costs = [surface.objective_s(entry.plan.digest, at) for entry in (point.below, point.above)]
        assert costs[0] == pytest.approx(costs[1], rel=1e-9)
        assert surface.best(Conditions((point.bandwidth_bps * 0.99,))) is point.below
        assert surface.best(Conditions((point.bandwidth_bps * 1.01,))) is point.above


def test_planning_again_on_both_sides_of_a_breakpoint_gives_its_plans():
    problem = chain()
    for point in build_surface({1: problem}, BOX).breakpoints(0, Conditions((1e6,))):
        below = solve(under(problem, Conditions((point.bandwidth_bps * 0.999,))))
        above = solve(under(problem, Conditions((point.bandwidth_bps * 1.001,))))
        assert (below.plan, above.plan) == (point.below.plan, point.above.plan)


@pytest.mark.parametrize("down", [0, 0.0, None])
def test_when_the_link_is_down_the_plan_that_needs_none_serves(down):
    surface = build_surface({1: chain()}, SurfaceBox(((1e8, 1e9),)), max_plans=2)
    best = surface.best(Conditions((down,)))
    assert best.fallback
    assert set(best.plan.placement.values()) == {"edge"}
    other = next(entry for entry in surface.entries if not entry.fallback)
    assert surface.latency_s(other.plan.digest, Conditions((down,))) == float("inf")


def test_without_a_plan_that_needs_no_link_a_dead_link_is_infeasible():
    given = document()
    given["tiers"][0]["memory_bytes"] = 5000
    given["graph"]["layers"][2]["weight_bytes"] = 9000
    surface = build_surface({1: problem_from_json(given)}, SurfaceBox(((1e5, 1e8),) * 2))
    assert not any(entry.fallback for entry in surface.entries)
    with pytest.raises(InfeasibleError):
        surface.best(Conditions((None, 1e7)))


def test_link_latency_counts_at_look_up():
    surface = build_surface({1: chain()}, BOX)
    near, far = Conditions((1e9,), latency_s=(0.0,)), Conditions((1e9,), latency_s=(10.0,))
    assert not surface.best(near).fallback
    assert surface.best(far).fallback
    digest = surface.best(near).plan.digest
    assert surface.latency_s(digest, far) - surface.latency_s(digest, near) == pytest.approx(10.0)


def test_between_two_batch_sizes_seconds_and_bytes_are_interpolated():
    double = chain(batch=4)
    double = replace(
        double,
        input_bytes=double.input_bytes * 4,
        layers=tuple(
            replace(la, output_bytes=la.output_bytes * 4, seconds={t: 4 * s for t, s in la.seconds.items()})
            for la in double.layers
        ),
    )
    surface = build_surface({1: chain(), 4: double}, BOX)
    for entry in surface.entries:
        at = [
            surface.latency_s(entry.plan.digest, Conditions((3e6,), batch=batch, latency_s=(0.0,)))
            for batch in (1, 2, 4)
        ]
        assert at == pytest.approx([at[0], 2 * at[0], 4 * at[0]])
    beyond = Conditions((3e6,), batch=64)
    assert surface.best(beyond) is surface.best(replace(beyond, batch=4))


def test_a_surface_survives_the_way_through_json():
    surface = build_surface({1: problem_from_json(document())}, SurfaceBox(((1e5, 1e8),) * 2, ((1.0, 2.0),) * 3))
    again = surface_from_json(json.loads(json.dumps(surface_to_json(surface))))
    assert again == surface
    conditions = Conditions((1e6, 1e7), (1.5, 1.0, 1.0))
    assert again.best(conditions) == surface.best(conditions)


def test_widths_and_form_survive_the_way_through_json():
    surface = build_surface({1: problem_from_json(document())}, SurfaceBox(((1e5, 1e8),) * 2, ((1.0, 2.0),) * 3))
    entry = surface.entries[0]
    first = next(iter(entry.plan.placement))
    plan = Plan(entry.plan.placement, {first: (4, 8)}, RunForm.PACKED)
    surface = replace(surface, entries=(replace(entry, plan=plan), *surface.entries))
    made = json.loads(json.dumps(surface_to_json(surface)))
    assert surface_from_json(made) == surface
    made["plans"][0]["widths"][first] = [2, 8]
    with pytest.raises(ProblemError, match="digest"):
        surface_from_json(made)


SPOILED = [
    (("format",), "x", "format"),
    (("tiers",), ["edge"], "tiers"),
    (("links", 0, "to"), "cloud", "links[0]"),
    (("batches",), [2, 1], "batches"),
    (("box", "load"), [], "box.load"),
    (("epsilon",), -1, "epsilon"),
    (("plans",), [], "plans"),
    (("plans", 0, "digest"), "sha256:0", "plans[0].digest"),
    (("plans", 0, "placement", "a"), "moon", "plans[0].placement.a"),
    (("plans", 0, "fallback"), 1, "plans[0].fallback"),
    (("plans", 0, "terms", "1", "link_trips"), [9, 9], 'plans[0].terms["1"].link_trips'),
    (("plans", 0, "terms", "7"), {}, 'plans[0].terms["7"]'),
]


@pytest.mark.parametrize(("path", "value", "named"), SPOILED, ids=[case[2] for case in SPOILED])
def test_a_spoiled_surface_is_refused_with_its_path(path, value, named):
    surface = build_surface({1: problem_from_json(document())}, SurfaceBox(((1e5, 1e8),) * 2))
    made = json.loads(json.dumps(surface_to_json(surface)))
    place = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ProblemError) as caught:
        surface_from_json(made)
    assert caught.value.path == named


@pytest.mark.parametrize(
    "box",
    [
        SurfaceBox(()),
        SurfaceBox(((0.0, 1e6),)),
        SurfaceBox(((1e6, 1e5),)),
        SurfaceBox(((1e5, float("inf")),)),
        SurfaceBox(((1e5, 1e6),), ((1.0, 2.0),)),
    ],
)
def test_a_box_that_does_not_fit_the_problem_is_refused(box):
    with pytest.raises(ProblemError):
        build_surface({1: chain()}, box)


def test_an_early_end_is_stated_as_epsilon():
    surface = build_surface({1: chain(12)}, SurfaceBox(((1e4, 1e9),)), max_solves=3)
    assert surface.solves == 3
    assert surface.epsilon > 0
    for bandwidth in np.geomspace(1e4, 1e9, 40):
        assert_within_epsilon(surface, chain(12), Conditions((float(bandwidth),)))
