"""What layers take with the whole model in a quantised form: measured like the layers as they are."""

from dataclasses import replace

import pytest

from tests.support.patience import START_S, holds_in_one
from tests.support.quantised_cnn import quantised_cnn
from tests.support.small_cnn import small_cnn
from tiersplit_bundle import Bundle
from tiersplit_core.errors import BundleError, InputError, OperationError
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.quantization.forms import RunForm
from tiersplit_stage.measure import chunks as chunks_module
from tiersplit_stage.measure.forms import measure_forms, wanted_forms, with_forms
from tiersplit_stage.measure.settings import Settings
from tiersplit_stage.measure.whole import measure_layers

INT8, PACKED = RunForm.INT8, RunForm.PACKED
SETTINGS = Settings("edge", batches=(1, 3), budget_s=0.02, timeout_s=START_S)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return quantised_cnn(tmp_path_factory.mktemp("forms") / "b")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return Bundle.open(small_cnn(tmp_path_factory.mktemp("plain") / "b"))


def said():
    heard = []
    return heard, heard.append


def total(timings):
    return sum(timing.median_s for timing in timings.values())


def test_every_layer_has_seconds_in_every_form_at_every_batch_size(bundle):
    heard, say = said()
    found = measure_forms(bundle, SETTINGS, (INT8, PACKED), say)
    assert heard == ["int8 at batch 1", "int8 at batch 3", "packed at batch 1", "packed at batch 3"]
    assert list(found) == [1, 3]
    for forms in found.values():
        assert forms.keys() == {INT8, PACKED}
        for timings in forms.values():
            assert timings.keys() == bundle.graph.index.keys()
            assert all(timing.median_s > 0 for timing in timings.values())


def test_an_emulated_tier_is_as_much_slower_in_every_form(bundle):
    settings = replace(SETTINGS, batches=(1,))

    def measured():
        fast, slow = (measure_forms(bundle, replace(settings, slowdown=f), (INT8,), print) for f in (1.0, 1000.0))
        return total(slow[1][INT8]) > 50 * total(fast[1][INT8])

    assert holds_in_one(measured)


def test_a_profile_gets_the_forms_at_the_batch_sizes_that_it_has(bundle):
    profile = measure_layers(bundle, replace(SETTINGS, batches=(1,)), print)
    found = with_forms(profile, bundle, SETTINGS, (INT8,), print)
    assert list(found.batches) == [1]
    assert found.batches[1].forms.keys() == {INT8}
    assert replace(found.batches[1], forms={}) == profile.batches[1]
    assert profile_from_json(profile_to_json(found), bundle.graph, bundle.graph_digest) == found


def test_a_form_that_the_tier_cannot_hold_is_left_out_and_said(bundle):
    heard, say = said()
    assert measure_forms(bundle, replace(SETTINGS, memory_bytes=100), (INT8,), say) == {}
    assert heard[-1].startswith(
        "int8 at batch 1 and above left out: the 100 B that tier 'edge' has cannot hold conv1 ("
    )


def test_a_batch_size_at_which_a_layer_becomes_too_large_is_left_out(bundle):
    heard, say = said()
    found = measure_forms(bundle, replace(SETTINGS, memory_bytes=40_000), (INT8,), say)
    assert list(found) == [1]
    assert heard[-1].startswith("int8 at batch 3 and above left out: the 39.06 KiB that tier 'edge' has cannot hold ")


def test_a_form_that_ends_its_process_does_not_cost_the_others(bundle, monkeypatch):
    real = chunks_module.run_job

    def failing(job, timeout_s):
        if job.programs[0].name == bundle.forms[INT8].digest:
            raise OperationError("the measuring process failed (signal 11)")
        return real(job, timeout_s)

    monkeypatch.setattr(chunks_module, "run_job", failing)
    heard, say = said()
    found = measure_forms(bundle, SETTINGS, (INT8, PACKED), say)
    assert all(forms.keys() == {PACKED} for forms in found.values())
    assert heard[0] == "int8 at batch 1 and above left out: the measuring process failed (signal 11)"


@pytest.mark.parametrize(
    ("text", "forms"),
    [("", (INT8, PACKED)), ("none", ()), ("int8", (INT8,)), (" packed , int8,packed", (PACKED, INT8))],
)
def test_the_forms_that_are_asked_for(bundle, text, forms):
    assert wanted_forms(text, bundle) == forms


@pytest.mark.parametrize("text", ["float", "int4", "int8,", ",", "none,int8", "INT8"])
def test_what_is_no_list_of_forms_is_refused(bundle, text):
    with pytest.raises(InputError, match="write int8, packed") as caught:
        wanted_forms(text, bundle)
    assert caught.value.path == "--forms"


def test_a_bundle_without_calibration_has_no_forms(plain):
    assert wanted_forms("", plain) == ()
    for ask in (lambda: wanted_forms("int8", plain), lambda: measure_forms(plain, SETTINGS, (INT8,), print)):
        with pytest.raises(BundleError, match=r"no form 'int8'.*--calibration"):
            ask()
