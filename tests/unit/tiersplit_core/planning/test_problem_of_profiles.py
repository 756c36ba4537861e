from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profiles import chain, graphs, profiles
from tiersplit_core.cost.latency import evaluate
from tiersplit_core.cost.problem import CANNOT_RUN_S
from tiersplit_core.errors import ProfileError
from tiersplit_core.graph.ir import INPUT
from tiersplit_core.planning.build import form_seconds_in, problem_from_profiles
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Link, Objective, Serving, Tier
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.profile.refine import emulate
from tiersplit_core.profile.serving import AtHand, Overhead, ServingProfile
from tiersplit_core.quantization.forms import RunForm

TIERS = (Tier("edge", 10**6), Tier("cloud"))
LINKS = (Link("edge", "cloud", 1e6, 0.01),)


def measured(tier, **seconds):
    """A profile at batch sizes 1 and 3; at 3 each layer takes twice its seconds."""
    batches = {
        size: BatchProfile({name: Timing(factor * value) for name, value in seconds.items()}, Timing(1.0))
        for size, factor in ((1, 1), (3, 2))
    }
    return TierProfile(tier, ProfileKind.MEASURED, "sha256:g", 1, {}, batches)


GRAPH = chain(("a", 1, 50, 10), ("b", 1, 60, 20))
PROFILES = {"edge": measured("edge", a=0.1, b=0.2), "cloud": measured("cloud", a=0.01, b=0.02)}


def test_bytes_are_per_request_weights_are_not_and_seconds_lie_between_measured_batch_sizes():
    problem = problem_from_profiles(GRAPH, PROFILES, TIERS, LINKS, batch=2)
    assert (problem.batch, problem.input_bytes) == (2, 2 * 400)
    assert [(layer.name, layer.inputs) for layer in problem.layers] == [("a", (INPUT,)), ("b", ("a",))]
    assert [(layer.output_bytes, layer.weight_bytes) for layer in problem.layers] == [(80, 50), (160, 60)]
    assert problem.layers[1].seconds == pytest.approx({"edge": 0.3, "cloud": 0.03})


def test_tiers_links_objective_and_rules_are_handed_on():
    problem = problem_from_profiles(GRAPH, PROFILES, TIERS, LINKS, Objective.THROUGHPUT, "edge", "edge")
    assert (problem.tiers, problem.links, problem.outputs) == (TIERS, LINKS, ("b",))
    assert (problem.objective, problem.raw_input_tier, problem.result_tier) == (Objective.THROUGHPUT, "edge", "edge")


def test_for_latency_layers_find_what_a_rest_leaves_of_a_limited_processor_and_for_throughput_they_do_not():
    serving = ServingProfile(at_hand=AtHand(0.5, request_s=0.03, receive_s=0.006))
    limited = {name: replace(profile, serving=serving) for name, profile in PROFILES.items()}
    layers = problem_from_profiles(GRAPH, limited, TIERS, LINKS).layers
    assert [layer.seconds["edge"] for layer in layers] == pytest.approx([0.1 - 0.01, 0.2 - 0.02])
    assert [layer.seconds["cloud"] for layer in layers] == pytest.approx([0.01 - 0.002, 0.02 - 0.004])
    steady = problem_from_profiles(GRAPH, limited, TIERS, LINKS, Objective.THROUGHPUT)
    assert steady.layers == problem_from_profiles(GRAPH, PROFILES, TIERS, LINKS, Objective.THROUGHPUT).layers
    assert form_seconds_in(steady, limited["edge"], RunForm.FLOAT) == {"a": 0.1, "b": 0.2}


def test_seconds_in_a_form_are_priced_as_those_of_the_problem_are():
    serving = ServingProfile(at_hand=AtHand(0.5, request_s=0.03, receive_s=0.0))
    forms = {RunForm.INT8: {"a": Timing(0.05), "b": Timing(0.1)}}
    batches = {size: replace(seen, forms=forms) for size, seen in PROFILES["edge"].batches.items()}
    edge = replace(PROFILES["edge"], serving=serving, batches=batches)
    problem = problem_from_profiles(GRAPH, {**PROFILES, "edge": edge}, TIERS, LINKS)
    assert form_seconds_in(problem, edge, RunForm.INT8) == pytest.approx({"a": 0.05 - 0.01, "b": 0.1 - 0.02})
    assert form_seconds_in(problem, edge, RunForm.PACKED) == {}


@pytest.mark.parametrize(
    ("memory_bytes", "able"), [(None, False), (10**6, False), (4000, True)], ids=["any", "more", "forbids it anyway"]
)
def test_a_layer_that_its_tier_could_not_hold_runs_elsewhere(memory_bytes, able):
    """Where the memory of the problem forbids it as it is, variants of it may yet fit."""
    edge = PROFILES["edge"]
    unheld = {size: replace(seen, unheld={"a": 5000}) for size, seen in edge.batches.items()}
    profiles_now, tiers = {**PROFILES, "edge": replace(edge, batches=unheld)}, (Tier("edge", memory_bytes), TIERS[1])
    for batch in (1, 2):
        first, second = problem_from_profiles(GRAPH, profiles_now, tiers, LINKS, batch=batch).layers
        assert (first.seconds["edge"] < CANNOT_RUN_S) is able
        assert second.seconds["edge"] < 1


SERVING = ServingProfile(Overhead(0.002, 1e-6), Overhead(0.003, 2e-6), Overhead(0.004, 3e-6), Overhead(0.5))


def test_serving_is_part_of_the_problem_and_of_what_a_plan_costs():
    served = {tier: replace(profile, serving=SERVING) for tier, profile in PROFILES.items()}
    problem = problem_from_profiles(GRAPH, served, TIERS, LINKS, batch=3)
    request_s = 0.002 + 1e-6 * 3 * 400
    assert problem.tiers[0].memory_bytes == 10**6
    assert asdict(problem.tiers[0].serving) == pytest.approx(asdict(Serving(request_s, 0.003, 2e-6, 0.004, 3e-6)))
    plain = problem_from_profiles(GRAPH, PROFILES, TIERS, LINKS, batch=3)
    both = [evaluate(one, {"a": "edge", "b": "cloud"}) for one in (plain, problem)]
    hop_s = 0.003 + 0.004 + (2e-6 + 3e-6) * 3 * 40
    assert both[1][0] - both[0][0] == pytest.approx(request_s + hop_s)
    assert both[1][2][0].serving_s == pytest.approx(hop_s)
    alone = [evaluate(one, {"a": "edge", "b": "edge"})[0] for one in (plain, problem)]
    assert alone[1] - alone[0] == pytest.approx(request_s)


def test_an_emulated_tier_serves_as_fast_as_the_machine():
    machine = replace(PROFILES["edge"], serving=SERVING)
    assert emulate(machine, "slow", 8.0).serving == SERVING


@pytest.mark.parametrize(
    ("found", "path", "reason"),
    [
        ({"edge": PROFILES["edge"]}, "profiles.cloud", "'cloud' has no profile; there are edge"),
        ({}, "profiles.edge", "there are none"),
        ({**PROFILES, "cloud": measured("cloud", a=0.1)}, "profiles.cloud", "'b' was not profiled"),
    ],
)
def test_a_missing_profile_or_layer_is_refused_by_name(found, path, reason):
    with pytest.raises(ProfileError, match=reason) as caught:
        problem_from_profiles(GRAPH, found, TIERS, LINKS)
    assert caught.value.path == path


@settings(max_examples=50)
@given(st.data())
def test_what_is_planned_costs_what_the_profiles_say(data):
    graph = data.draw(graphs())
    edge = data.draw(profiles(graph))
    found = {"edge": edge, "cloud": emulate(edge, "cloud", edge.slowdown / 2)}
    batch = data.draw(st.sampled_from([1, 4]))
    problem = problem_from_profiles(
        graph, found, (Tier("edge"), Tier("cloud")), (Link("edge", "cloud", 1e12, 0.0),), batch=batch
    )
    solution = solve(problem)
    total = sum(timing.median_s for timing in edge.batches[batch].layers.values())
    moved = total / 2 + 8 * graph.input_bytes * batch / 1e12
    assert solution.objective_s <= min(total, moved) * (1 + 1e-9)
    kept = solve(replace(problem, raw_input_tier="edge")).plan
    assert kept is not None
    assert kept.placement[graph.layers[0].name] == "edge"
