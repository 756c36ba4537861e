"""Quantisation, packing and encoded tensors: what goes in comes back, within what is promised."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tiersplit_core.codec.bitpack import pack, pack_channels, packed_bytes, unpack, unpack_channels
from tiersplit_core.codec.frame import EncodedTensor, Packing, check_tensor, decode_tensor, encode_tensor
from tiersplit_core.codec.quantize import dequantize, quantize
from tiersplit_core.errors import FrameError

BITS = st.sampled_from([1, 2, 4, 6, 8])
FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)


def reference_pack(values, bits):
    """Bit by bit, as the definition says."""
    stream = [value >> k & 1 for value in values for k in range(bits)]
    stream += [0] * (-len(stream) % 8)
    return bytes(sum(bit << k for k, bit in enumerate(stream[i : i + 8])) for i in range(0, len(stream), 8))


@given(BITS, st.lists(st.integers(0, 255), max_size=40))
def test_packing_is_the_bit_stream_of_the_definition_and_unpacking_its_inverse(bits, raw):
    values = np.array([value % 2**bits for value in raw], np.uint8)
    packed = pack(values, bits)
    assert packed.tobytes() == reference_pack(values.tolist(), bits)
    assert packed.size == packed_bytes(values.size, bits)
    np.testing.assert_array_equal(unpack(packed, values.size, bits), values)


@given(
    BITS, hnp.arrays(np.uint8, st.tuples(st.integers(0, 3), st.integers(0, 19), st.integers(0, 3), st.integers(0, 3)))
)
def test_packing_along_channels_is_the_bit_stream_of_equal_runs_of_channels_and_then_of_the_rest(bits, raw):
    values = raw & (2**bits - 1)
    together = {1: 8, 2: 4, 4: 2, 6: 4, 8: 1}[bits]
    even = values.shape[1] - values.shape[1] % together
    expected = b""
    for sample in values:
        words = sample[:even].reshape(together, -1).T  # one word per position: a number of each run
        packed = [reference_pack(word.tolist(), bits) for word in words]
        expected += b"".join(bytes(plane) for plane in zip(*packed, strict=True))
    expected += reference_pack(values[:, even:].reshape(-1).tolist(), bits)
    packed = pack_channels(values, bits)
    assert packed.tobytes() == expected
    assert packed.size == packed_bytes(values.size, bits)
    np.testing.assert_array_equal(unpack_channels(packed, values.shape, bits), values)


@pytest.mark.parametrize("bits", [0, 3, 16])
def test_other_widths_are_packed_in_neither_order(bits):
    for order in (lambda: pack(np.zeros(4, np.uint8), bits), lambda: pack_channels(np.zeros((1, 4), np.uint8), bits)):
        with pytest.raises(FrameError):
            order()


def test_packed_channels_of_another_length_are_refused():
    with pytest.raises(FrameError, match="2 bytes, not 3"):
        unpack_channels(np.zeros(3, np.uint8), (1, 4), 4)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_a_range_with_both_ends_halfway_between_integers_stays_within_its_bits(bits):
    """Such as any symmetric one: both ends would be rounded outwards, one of them past the last integer."""
    half = (2**bits - 1) / 2
    for array in (np.array([-half, 0, half], np.float32), np.linspace(-half, half, 100_000, dtype=np.float32)):
        quantised = quantize(array, bits)
        assert quantised.values.max() <= 2**bits - 1
        assert quantised.values.min() == 0
        back = dequantize(quantised, np.dtype(np.float32))
        assert np.abs(back - array).max() <= quantised.scale * (0.5 + 1e-4)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_other_floating_point_types_are_quantised_as_finely(dtype, size):
    array = (size * np.linspace(-0.3, 1, 1000)).astype(dtype)
    quantised = quantize(array, 8)
    back = dequantize(quantised, array.dtype)
    assert back.dtype == array.dtype
    assert np.abs(back.astype(float) - array.astype(float)).max() <= quantised.scale * 0.51 + size * 1e-3


def test_a_double_that_no_float_is_travels_as_it_is():
    array = np.array([0.0, 1e39])
    encoded = encode_tensor("x", array, 8)
    assert encoded.scale is None
    np.testing.assert_array_equal(decode_tensor(encoded), array)


@given(BITS, hnp.arrays(np.float32, st.integers(0, 60), elements=FLOATS))
def test_a_quantised_number_comes_back_within_half_a_step_and_zero_exactly(bits, array):
    quantised = quantize(array, bits)
    assert quantised is not None
    assert quantised.values.max(initial=0) < 2**bits
    back = dequantize(quantised, np.dtype(np.float32)).astype(np.float64)
    assert np.all(np.abs(back - array) <= quantised.scale * (0.5 + 1e-4))
    assert np.all(back[array == 0] == 0)


@given(
    st.sampled_from([1, 2, 4, 6, 8, 16, 32]),
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=st.floats(-100, 100, width=32)
    ),
    st.sampled_from(list(Packing)),
)
def test_an_encoded_tensor_decodes_to_its_shape_and_values(bits, array, packing):
    encoded = encode_tensor("x", array, bits, packing)
    back = decode_tensor(encoded)
    assert back.shape == array.shape
    assert back.dtype == array.dtype
    bound = 0.5001 * encoded.scale if encoded.scale is not None else (0 if bits == 32 else 0.05)
    assert np.all(np.abs(back - array) <= bound + 1e-6)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "int32", "float64", "float16"])
def test_what_is_no_float32_travels_as_it_is_at_its_own_width(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    encoded = encode_tensor("x", array, 64)
    assert len(encoded.payload) == array.nbytes
    np.testing.assert_array_equal(decode_tensor(encoded), array)


def test_infinities_and_nan_are_never_quantised():
    array = np.array([1.0, np.inf, np.nan], np.float32)
    encoded = encode_tensor("x", array, 4)
    assert encoded.scale is None
    np.testing.assert_array_equal(decode_tensor(encoded), array)


def test_packing_along_channels_puts_neighbouring_channels_into_one_byte():
    array = np.zeros((1, 2, 1, 2), np.float32)
    array[0, 0] = 15.0
    flat = bytes(encode_tensor("x", array, 4, Packing.C).payload)
    assert flat == bytes([0x0F, 0x0F])


GOOD = encode_tensor("x", np.ones((2, 3), np.float32), 8)
HOSTILE = {
    "no name": {"name": ""},
    "a name of megabytes": {"name": "n" * 5000},
    "a dtype of Python objects": {"dtype": "object"},
    "a dtype that is none": {"dtype": "quaternion"},
    "a negative dimension": {"shape": (-1, 6)},
    "too many dimensions": {"shape": (1,) * 33},
    "a huge shape": {"shape": (2**40, 2**40)},
    "too few bytes": {"payload": b"12345"},
    "too many bytes": {"payload": b"1234567"},
    "a width that is none": {"bits": 7},
    "no width": {"bits": 0},
    "a width of integers without a scale": {"scale": None, "zero_point": None},
    "a scale of zero": {"scale": 0.0},
    "a negative scale": {"scale": -1.0},
    "a scale that is no number": {"scale": math.nan},
    "an infinite scale": {"scale": math.inf},
    "a zero point beyond its width": {"zero_point": 256},
    "a negative zero point": {"zero_point": -1},
    "a zero point without scale": {"scale": None, "bits": 32},
    "a quantised integer tensor": {"dtype": "int64"},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_description_that_no_sender_makes_is_refused(change):
    fields = {name: getattr(GOOD, name) for name in GOOD.__slots__}
    with pytest.raises(FrameError):
        check_tensor(EncodedTensor(**{**fields, **change}))


@settings(max_examples=300)
@given(
    st.builds(
        EncodedTensor,
        name=st.text(max_size=4),
        dtype=st.sampled_from(["float32", "float16", "int64", "bool", "object", "V8", ""]),
        shape=st.lists(st.integers(-2, 2**62), max_size=4).map(tuple) | st.just((2, 3)),
        bits=st.integers(0, 65),
        payload=st.binary(max_size=48),
        scale=st.none() | st.floats(),
        zero_point=st.none() | st.integers(-(2**31), 2**31 - 1),
        packing=st.sampled_from(list(Packing)),
    )
)
def test_any_description_decodes_or_is_refused_but_never_crashes(tensor):
    try:
        array = decode_tensor(tensor)
    except FrameError:
        return
    assert array.shape == tensor.shape
