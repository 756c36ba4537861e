"""Networks of all kinds, whole in both quantised forms: what layers are measured with before any plan is cut."""

from pathlib import Path

import numpy as np
import pytest

from tests.support import models, opaque_models
from tests.support.imports import import_copy
from tiersplit_bundle import Bundle, BundleSegment
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.net import Array
from tiersplit_import.options import ImportOptions, parse_input
from tiersplit_import.pipeline import import_model
from tiersplit_import.plan_run import open_segment
from tiersplit_import.probe import random_inputs, run

SAMPLES = 12
LARGEST = {RunForm.INT8: 5e-3, RunForm.PACKED: 5e-2}
"""Squared error, relative to the outputs' mean square: of 8 bits, and of weights of 4."""


def calibration(texts: tuple[str, ...], file: Path) -> Path:
    """Random samples of each input."""
    np.savez(file, **random_inputs([parse_input(text) for text in texts], SAMPLES))
    return file


def answer(bundle: Bundle, whole: BundleSegment, batch: int) -> dict[str, Array]:
    """To the golden inputs, `batch` times over."""
    feeds = {name: np.concatenate([value] * batch) for name, value in bundle.golden()[0].items()}
    found = dict(zip(whole.outputs, run(open_segment(bundle, whole), list(whole.outputs), feeds), strict=True))
    return {key: found[tensor] for key, tensor in bundle.graph.output_names}


def check(bundle: Bundle) -> None:
    """Both forms are there, run at any batch size, and stay close to the model without being it."""
    _, wanted = bundle.golden()
    assert bundle.forms.keys() == {RunForm.INT8, RunForm.PACKED}
    for form, whole in bundle.forms.items():
        assert (whole.id, whole.layers) == (f"whole-{form}", tuple(bundle.graph.index))
        got = {key: value[1:] for key, value in answer(bundle, whole, 2).items()}
        errors = [np.sum((got[key] - value) ** 2) / np.sum(value**2) for key, value in wanted.items()]
        assert 0 < max(errors) < LARGEST[form], form


@pytest.mark.parametrize("name", sorted(models.INPUTS))
def test_a_network_lies_whole_in_both_forms_in_its_bundle(name: str, tmp_path: Path) -> None:
    import_copy(name, tmp_path / "b", calibration=calibration(models.INPUTS[name], tmp_path / "data.npz"))
    bundle = Bundle.open(tmp_path / "b")
    check(bundle)
    assert bundle.segments == ()


def test_a_network_with_an_opaque_layer_lies_whole_in_both_forms_in_its_bundle(tmp_path: Path) -> None:
    data = calibration((opaque_models.IMAGE,), tmp_path / "data.npz")
    options = ImportOptions(inputs=(parse_input(opaque_models.IMAGE),), calibration=data)
    import_model("tests.support.opaque_models:remaining", tmp_path / "b", options)
    check(Bundle.open(tmp_path / "b"))


def test_without_calibration_data_there_are_no_forms(tmp_path: Path) -> None:
    import_copy("chain", tmp_path / "b")
    assert Bundle.open(tmp_path / "b").forms == {}
