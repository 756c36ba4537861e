"""AUTO-SPLIT's baselines as the paper defines them."""

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.support import quantised_reference as reference
from tests.support.problem_documents import document
from tests.support.quantised_problems import chain_of_four, like_resnet50
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem_json import problem_from_json
from tiersplit_core.planning.solution import Status


@pytest.mark.parametrize(("name", "bits"), [("u2", 2), ("u4", 4), ("u6", 6), ("u8", 8), ("tq8", 8)])
def test_uniform_quantisation_keeps_the_whole_network_on_the_edge_in_its_bits(name, bits):
    problem = chain_of_four()
    solution = solve(problem, name)
    assert set(solution.plan.placement.values()) == {"t0"}
    assert set(solution.plan.widths.values()) == {(bits, bits)}
    assert solution.distortion == pytest.approx(reference.distortion(problem, solution.plan.widths))
    plan = solution.plan
    assert solution.stages[0].memory_bytes == reference.memory(problem, plan.placement, plan.widths)
    assert solution.objective_s == pytest.approx(reference.objective(problem, plan.placement, plan.widths))


def test_fewer_bits_take_less_memory_and_time_and_err_more():
    found = [solve(like_resnet50(), name) for name in ("u2", "u4", "u6", "u8")]
    for narrow, wide in pairwise(found):
        assert narrow.stages[0].memory_bytes < wide.stages[0].memory_bytes
        assert narrow.objective_s < wide.objective_s
        assert narrow.distortion > wide.distortion


def test_a_layer_without_the_bits_takes_its_widest_below_them_else_its_narrowest():
    problem = chain_of_four()
    layers = list(problem.layers)
    layers[0] = replace(layers[0], variants=tuple(v for v in layers[0].variants if v.weight_bits != 6))
    layers[1] = replace(layers[1], variants=tuple(v for v in layers[1].variants if v.weight_bits == 8))
    layers[2] = replace(layers[2], variants=())
    widths = solve(replace(problem, layers=tuple(layers)), "u6").plan.widths
    assert widths == {"c0": (4, 6), "c1": (8, 2), "c3": (6, 6)}


def test_the_cloud_in_half_precision_receives_the_input_as_it_is():
    solution = solve(chain_of_four(), "cloud16")
    assert set(solution.plan.placement.values()) == {"t1"}
    assert [(sent.tensors, sent.payload_bytes) for sent in solution.transmissions] == [(("input",), 60_000)]


def float_split():
    """A chain that the float network is best divided in: behind its narrow second layer."""
    problem = chain_of_four()
    quick = [
        replace(la, seconds={"t0": s, "t1": 0.001}) for la, s in zip(problem.layers, (0.01, 0.01, 3, 3), strict=True)
    ]
    sizes = (20_000, 1_000, 1_000, 10)
    return replace(
        problem,
        layers=tuple(replace(la, output_bytes=4 * n, elements=n) for la, n in zip(quick, sizes, strict=True)),
    )


def test_qdmp_needs_room_for_the_whole_network_and_its_edge_part_alone_does_not():
    problem = float_split()
    head = ["c0", "c1"]
    assert [name for name, tier in solve(problem, "qdmp").plan.placement.items() if tier == "t0"] == head
    limited = replace(problem, tiers=(replace(problem.tiers[0], memory_bytes=300_000), problem.tiers[1]))
    assert "whole network" in solve(limited, "qdmp").constraint
    edge_part = solve(limited, "qdmp-e")
    assert list(edge_part.stages[0].layers) == head
    assert edge_part.stages[0].memory_bytes == 84_000 + 140_000


def test_the_edge_part_in_four_bits_keeps_the_split_and_shrinks():
    solution, whole = solve(float_split(), "qdmp-e-u4"), solve(float_split(), "qdmp-e")
    assert solution.plan.placement == whole.plan.placement
    assert solution.plan.widths == {"c0": (4, 4), "c1": (4, 4)}
    assert solution.stages[0].memory_bytes < whole.stages[0].memory_bytes
    assert solution.transmissions[0].payload_bytes < whole.transmissions[0].payload_bytes / 7


def test_mixed_precision_after_the_split_keeps_the_split_and_the_error_bound():
    problem = replace(float_split(), max_distortion=0.3)
    solution = solve(problem, "qdmp-mixed")
    assert solution.plan.placement == solve(problem, "qdmp").plan.placement
    assert set(solution.plan.widths) <= {"c0", "c1"}
    assert solution.distortion <= 0.3
    assert solution.objective_s < solve(problem, "qdmp").objective_s


@pytest.mark.parametrize("name", ["u4", "qdmp-e-u4"])
def test_a_problem_without_variants_cannot_be_quantised(name):
    assert "variants" in solve(problem_from_json(document()), name).constraint


def test_a_baseline_above_the_error_tolerance_is_infeasible():
    solution = solve(chain_of_four(max_distortion=0.001), "u2")
    assert solution.status is Status.INFEASIBLE
    assert solution.constraint.startswith("max_distortion")
