"""Tensors as JPEG: without loss they come back as they were; with loss they cost less; hostile pictures are refused."""

import sys
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tiersplit_core.codec.frame import EncodedTensor, Packing, encode_tensor
from tiersplit_core.errors import FrameError, OperationError
from tiersplit_wire.convert import array_to_proto, proto_to_array, tensor_to_proto
from tiersplit_wire.jpeg import layout_of
from tiersplit_wire.v1 import activation_pb2 as pb


def smooth(shape, seed=0):
    """Something like features: smooth planes, half of them zeros."""
    rng = np.random.default_rng(seed)
    rows, columns = (np.linspace(0, 6, size)[:, None] for size in shape[-2:])
    turns = rng.uniform(0, 6, (*shape[:-2], 1, 1))
    return np.maximum(np.sin(rows + turns) * np.cos(columns.T - turns), 0).astype(np.float32)


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 5), min_size=0, max_size=2),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([1, 2, 4, 6, 8]),
    st.sampled_from(list(Packing)),
    st.integers(0, 99),
)
def test_integers_of_any_shape_and_width_come_back_exactly_without_loss(leading, height, width, bits, packing, seed):
    array = np.random.default_rng(seed).normal(size=(*leading, height, width)).astype(np.float32)
    encoded = encode_tensor("x", array, bits, packing)
    message = tensor_to_proto(encoded, "jpeg")
    assert message.encoding == pb.ENCODING_JPEG
    message = pb.Tensor.FromString(message.SerializeToString())
    np.testing.assert_array_equal(proto_to_array(message), proto_to_array(tensor_to_proto(encoded)))


def test_a_picture_of_bytes_comes_back_exactly_without_loss():
    image = np.random.default_rng(1).integers(0, 256, (2, 3, 24, 31), dtype=np.uint8)
    message = array_to_proto("input", image, encoding="jpeg")
    np.testing.assert_array_equal(proto_to_array(message), image)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_lower_quality_costs_fewer_bytes_and_more_accuracy(bits):
    encoded = encode_tensor("x", smooth((1, 12, 48, 48)), bits)
    plain = proto_to_array(tensor_to_proto(encoded))
    sent = [tensor_to_proto(encoded, f"jpeg-{quality}") for quality in (90, 50, 10)]
    sizes = [len(message.payload) for message in sent]
    errors = [np.abs(proto_to_array(message) - plain).mean() for message in sent]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert sizes[2] < len(encoded.payload)
    assert errors[0] < 0.05 * plain.max()


def test_a_photograph_of_bytes_stays_close_at_a_high_quality():
    image = np.round(255 * smooth((1, 3, 64, 64))).astype(np.uint8)
    back = proto_to_array(array_to_proto("input", image, encoding="jpeg-90"))
    assert back.dtype == np.uint8
    assert np.abs(back.astype(int) - image).mean() < 4


def test_more_planes_than_one_column_holds_stand_in_several():
    encoded = encode_tensor("x", smooth((40, 16, 400, 2)), 4)
    layout = layout_of(encoded)
    assert (layout.columns, layout.rows * layout.columns >= 40 * 16 / 3) == (2, True)
    assert max(layout.size) <= 65_535
    np.testing.assert_array_equal(
        proto_to_array(tensor_to_proto(encoded, "jpeg")), proto_to_array(tensor_to_proto(encoded))
    )


@pytest.mark.parametrize(
    "array",
    [
        np.ones((2, 3, 4), np.float16),
        np.arange(6).reshape(2, 3),
        np.ones(9, np.uint8),
        np.ones((1, 0, 4), np.uint8),
        np.ones((1, 65_536, 1), np.uint8),
        np.ones((1, 1, 65_536), np.uint8),
    ],
)
@pytest.mark.parametrize("encoding", ["jpeg", "jpeg-50"])
def test_what_is_no_picture_travels_raw(array, encoding):
    message = array_to_proto("x", array, 64, encoding)
    assert message.encoding == pb.ENCODING_RAW
    np.testing.assert_array_equal(proto_to_array(message), array)


@pytest.mark.parametrize("encoding", ["jpeg-0", "jpeg-96", "jpeg-100", "jpeg-", "jpeg-5x", "JPEG", "jpeg 50"])
def test_a_quality_that_is_none_is_refused_by_the_sender(encoding):
    with pytest.raises(FrameError, match="jpeg-1 to jpeg-95"):
        array_to_proto("x", np.ones((2, 2), np.uint8), encoding=encoding)


def picture(form, mode="RGB", size=(8, 16), value=0):
    stream = BytesIO()
    Image.new(mode, size, value).save(stream, format=form)
    return stream.getvalue()


GOOD = tensor_to_proto(encode_tensor("x", smooth((1, 6, 8, 8)), 4), "jpeg").payload
HOSTILE = {
    "nothing": b"",
    "no picture": b"no picture of anything",
    "a cut picture": GOOD[: len(GOOD) // 2],
    "a JPEG cut short": picture("JPEG")[:-40],
    "a picture of another format": picture("PNG"),
    "a picture of another size": picture("JPEG", size=(8, 17)),
    "a much larger picture": picture("JPEG", size=(4000, 4000)),
    "grey": picture("JPEG", mode="L"),
    "four colours": picture("JPEG", mode="CMYK"),
    "integers beyond the width": picture("JPEG2000", value=(16, 16, 16)),
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_picture_that_no_sender_makes_is_refused(payload):
    message = tensor_to_proto(encode_tensor("x", smooth((1, 6, 8, 8)), 4), "jpeg")
    message.payload = payload
    with pytest.raises(FrameError):
        proto_to_array(message)


@pytest.mark.parametrize("shape", [(1 << 40, 8), (9,), (-1, 8)])
def test_a_picture_of_an_impossible_shape_is_refused(shape):
    message = pb.Tensor(name="x", dtype="uint8", bits=8, encoding=pb.ENCODING_JPEG, packing=1, payload=GOOD)
    message.shape.extend(shape)
    with pytest.raises(FrameError):
        proto_to_array(message)


def test_a_machine_without_pillow_says_what_it_lacks(monkeypatch):
    tensor = EncodedTensor("x", "uint8", (2, 2), 8, bytes(4))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(OperationError, match="pillow"):
        tensor_to_proto(tensor, "jpeg")
