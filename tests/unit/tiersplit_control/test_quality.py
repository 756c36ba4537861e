"""What a bundle's measurements mean for what a manifest asks for."""

from dataclasses import replace

import pytest

from tests.support.control_catalogue import catalogue, intent, statistics
from tiersplit_api.v1alpha1.model import Metric, Validation
from tiersplit_bundle.accuracies import Accuracies
from tiersplit_control.quality import Quality, quality_of, wanted_forms
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.problem import Tier
from tiersplit_core.quantization.forms import RunForm

MEASURED = Accuracies("Top1", 0.98, {"sha256:" + "a" * 64: 0.97})
KNOWN = {
    "measured as the manifest compares": (Validation(uri="v.npz"), MEASURED, 0.98),
    "no data are named": (Validation(), MEASURED, None),
    "another metric": (Validation(uri="v.npz", metric=Metric.TOP5), MEASURED, None),
    "nothing was measured": (Validation(uri="v.npz"), None, None),
}


@pytest.mark.parametrize("case", KNOWN)
def test_an_accuracy_counts_where_the_manifest_asks_for_its_metric(case: str) -> None:
    validation, accuracies, whole = KNOWN[case]
    found = quality_of(validation, statistics(), accuracies)
    assert found.whole == whole
    assert dict(found.accuracies) == (dict(MEASURED.plans) if whole else {})
    assert found.may_quantise(intent(weight_bits=(8, 32), activation_bits=(8, 32), max_drop=0.01)) is bool(whole)


def test_a_plan_without_fewer_bits_has_the_accuracy_of_the_model() -> None:
    plain = catalogue()
    entry = plain.surface.entries[0]
    narrow = replace(entry, plan=Plan(entry.plan.placement, {"l0": (8, 8)}))
    surface = replace(plain.surface, entries=(entry, narrow))
    known = replace(plain, surface=surface, quality=Quality(None, {narrow.plan.digest: 0.97}, 0.98))
    assert known.accuracy(entry.plan.digest) == 0.98
    assert known.accuracy(narrow.plan.digest) == 0.97
    assert plain.accuracy(entry.plan.digest) is None


@pytest.mark.parametrize(
    ("weights", "activations", "memory_bytes", "forms"),
    [
        ((8, 32), (8, 32), None, (RunForm.INT8,)),
        ((8, 32), (8, 32), 10**6, (RunForm.INT8, RunForm.PACKED)),
        ((4, 32), (32,), 10**6, (RunForm.PACKED,)),
        ((4, 32), (32,), None, ()),
        ((16, 32), (8,), 10**6, ()),
    ],
)
def test_integer_kernels_need_fewer_bits_of_both_and_packed_weights_a_limit_of_memory(
    weights: tuple[int, ...], activations: tuple[int, ...], memory_bytes: int | None, forms: tuple[RunForm, ...]
) -> None:
    asked = intent(tiers=(Tier("edge", memory_bytes), Tier("cloud")), weight_bits=weights, activation_bits=activations)
    assert wanted_forms(asked) == forms
