"""What people read about bit widths and accuracy."""

import pytest

from tests.support.operator_context import manifest
from tiersplit_api.v1alpha1 import resource_from
from tiersplit_control.words import bits_text, fewer_bits_hint, form_text
from tiersplit_core.planning.plan import Plan
from tiersplit_core.quantization.forms import RunForm

PLACED = {"a": "edge", "b": "edge", "c": "cloud"}
WIDTHS = {
    "none": ({}, ""),
    "all the same": ({"a": (8, 8), "b": (8, 8)}, "W8A8"),
    "mixed weights": ({"a": (8, 8), "b": (4, 8)}, "W4-8A8"),
    "weights alone": ({"a": (4, 32), "b": (2, 32)}, "W2-4"),
    "a layer without weights": ({"a": (8, 8), "b": (32, 4)}, "W8A4-8"),
}


@pytest.mark.parametrize("case", WIDTHS)
def test_bit_widths_are_told_as_the_paper_does(case: str) -> None:
    widths, expected = WIDTHS[case]
    assert bits_text(Plan(PLACED, widths)) == expected


def test_a_form_is_told_of_plans_that_have_one_alone() -> None:
    assert form_text(Plan(PLACED, {"a": (4, 32)}, RunForm.PACKED)) == "packed"
    assert form_text(Plan(PLACED, form=RunForm.PACKED)) == ""


ONNX, BUNDLE = {"onnxUri": "m.onnx"}, {"bundle": "oci://r.test/m:1"}
DATA = {"validation": {"uri": "v.npz"}}
HINTS = {
    "all is there": ({"source": ONNX, **DATA}, [8, 32], (True, True), None),
    "no fewer bits are allowed": ({"source": ONNX}, [32], (False, False), None),
    "16 bits are no fewer": ({"source": ONNX}, [16, 32], (False, False), None),
    "no data at all": (
        {"source": ONNX},
        [8, 32],
        (False, False),
        "write spec.model.calibration.uri and write spec.model.validation.uri",
    ),
    "no calibration": ({"source": ONNX, **DATA}, [4, 8], (False, True), "write spec.model.calibration.uri"),
    "no validation": ({"source": ONNX}, [8], (True, False), "write spec.model.validation.uri"),
    "a bundle without both": (
        {"source": BUNDLE, **DATA},
        [8],
        (False, False),
        "import the bundle with --calibration and import the bundle with --validation",
    ),
}


@pytest.mark.parametrize("case", HINTS)
def test_what_is_missing_for_fewer_bits_is_said_with_what_to_write(case: str) -> None:
    model, bits, (calibrated, rated), expected = HINTS[case]
    spec = resource_from(manifest(model=model, tiers=[{"name": "edge", "weightBits": bits}, {"name": "cloud"}])).spec
    found = fewer_bits_hint(spec, calibrated=calibrated, rated=rated)
    if expected is None:
        assert found == ""
    else:
        assert found.startswith("tier edge may use ")
        assert found.endswith(expected)
