"""What a plan answers depends on the plan alone, not on the surface for which its segments were cut."""

from functools import partial

import numpy as np
import pytest

from tests.support import models
from tests.support.cutting import assert_close, random_plans
from tests.support.imports import import_copy
from tiersplit_bundle import Bundle
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.net import Array
from tiersplit_import.options import parse_input
from tiersplit_import.plan_run import PlanRun, open_segment, rounded
from tiersplit_import.probe import random_inputs
from tiersplit_import.segments import materialise

TIERS, FIRST = 3, "tier0"


@pytest.fixture(scope="module", params=["dense", "attention"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp(request.param)
    inputs = [parse_input(text) for text in models.INPUTS[request.param]]
    np.savez(folder / "data.npz", **random_inputs(inputs, 12))
    import_copy(request.param, folder / "b", calibration=folder / "data.npz")
    return Bundle.open(folder / "b")


def answered(bundle: Bundle, plan: Plan, others: list[Plan]) -> tuple[int, dict[str, Array]]:
    """How many segments a plan runs on a surface with others, and what it answers."""
    specs = segments_of(bundle.graph, [plan, *others])
    held = materialise(bundle.root, specs)
    run = PlanRun(held, plan, specs)
    return len(run.steps), run(random_inputs(bundle.graph.inputs, 5, 3), partial(open_segment, held))


def _halved(bundle: Bundle, plan: Plan) -> Plan:
    """The first half of what it has on the first tier; the rest, in running order, on the last."""
    layers = plan.layers_on(FIRST)
    kept = set(layers[: len(layers) // 2])
    return Plan({name: FIRST if name in kept else f"tier{TIERS - 1}" for name in bundle.graph.index})


@pytest.mark.parametrize("form", [RunForm.INT8, RunForm.PACKED])
@pytest.mark.parametrize("seed", range(3))
def test_a_quantised_plan_answers_the_same_however_finely_it_is_cut(form: RunForm, seed: int, bundle: Bundle) -> None:
    others = random_plans(bundle.graph, TIERS, 4, seed)
    place = max(others, key=lambda plan: len(plan.layers_on(FIRST))).placement
    plan = Plan(place, {name: (4, 4) for name, tier in place.items() if tier == FIRST}, form)
    alone, wanted = answered(bundle, plan, [])
    divided, got = answered(bundle, plan, [*others, _halved(bundle, plan)])
    assert divided > alone
    assert_close(got, wanted, 1e-6)


def test_values_without_bits_and_values_that_are_no_real_numbers_travel_as_they_are() -> None:
    real, whole = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), np.arange(12).reshape(3, 4)
    assert rounded(real, 32) is real
    assert rounded(whole, 4) is whole
    broken = np.array([[np.inf, 1], [0, 1]], np.float32)
    assert rounded(broken, 8)[0].tolist() == [np.inf, 1]


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_each_sample_is_rounded_by_its_own_range(bits: int) -> None:
    draw = np.random.default_rng(bits)
    value = (draw.standard_normal((4, 3, 5)) * np.array([1, 10, 100, 1000]).reshape(4, 1, 1)).astype(np.float32)
    found = rounded(value, bits)
    for row, got in zip(value, found, strict=True):
        step = (max(row.max(), 0) - min(row.min(), 0)) / (2**bits - 1)
        assert 0 < np.abs(row - got).max() <= step * 0.501
        np.testing.assert_array_equal(got, rounded(row[None], bits)[0])
