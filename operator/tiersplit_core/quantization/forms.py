"""In which form a segment's quantised weights run, and what a variant of a segment is called."""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum

FORM_KEY = "tiersplit.form"
"""Metadata of a segment's ONNX file: its run form, where that is not float."""


class RunForm(StrEnum):
    """How a segment runs."""

    FLOAT = "float"
    """As it was imported."""
    INT8 = "int8"
    """Integer kernels: narrower weights travel packed and become bytes when they are loaded."""
    PACKED = "packed"
    """Weights of 2 and 4 bits stay packed in memory and become real numbers again in every run."""


def variant_id(segment: str, form: RunForm, widths: Mapping[str, tuple[int, int]]) -> str:
    """The id of a segment's variant; the float one keeps the segment's own.

    Args:
        segment: the segment's id.
        form: how it runs.
        widths: weight and activation bits of its layers.
    """
    if form is RunForm.FLOAT:
        return segment
    text = json.dumps(sorted(widths.items()), separators=(",", ":"))
    return f"{segment}-{form}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
