"""Packed weights come back as they were, and bytes that are none are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tiersplit_core.errors import StatisticsError
from tiersplit_core.quantization.forms import RunForm, variant_id
from tiersplit_core.quantization.packed import PACKED_BITS, pack_weights, unpack_weights


@given(st.sampled_from(PACKED_BITS), npst.array_shapes(max_dims=4, max_side=6), st.integers(0, 2**32 - 1))
def test_what_is_packed_is_unpacked(bits: int, shape: tuple[int, ...], seed: int) -> None:
    values = np.random.default_rng(seed).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape).astype(np.int8)
    data = pack_weights(values, bits)
    found = unpack_weights(data)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, values)
    assert len(data) == 18 + 8 * len(shape) + -(-values.size * bits // 8)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_other_bytes_are_refused(noise: bytes, length: int) -> None:
    data = pack_weights(np.zeros((3, 5), np.int8), 4)
    for broken in (noise, data[:length] if length < len(data) else data + b"x", data + noise + b"x"):
        with pytest.raises(StatisticsError):
            unpack_weights(broken)


def test_eight_bits_are_not_packed() -> None:
    with pytest.raises(StatisticsError, match="8 bits"):
        pack_weights(np.zeros(4, np.int8), 8)


def test_a_variant_has_its_own_name_and_the_float_one_the_segments() -> None:
    widths = {"a": (8, 8), "b": (4, 8)}
    assert variant_id("seg-1", RunForm.FLOAT, widths) == "seg-1"
    names = {variant_id("seg-1", form, widths) for form in RunForm}
    assert len(names) == 3
    assert variant_id("seg-1", RunForm.INT8, dict(reversed(widths.items()))) in names
    assert variant_id("seg-1", RunForm.INT8, {"a": (8, 8), "b": (2, 8)}) not in names
