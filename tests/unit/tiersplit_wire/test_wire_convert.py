"""Frames from peers: what honest senders make is read back, anything else is refused without harm."""

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tiersplit_core.errors import FrameError
from tiersplit_wire.convert import array_to_proto, check_activations, parse_upstream, proto_to_array
from tiersplit_wire.v1 import activation_pb2 as pb

ENCODINGS = ["raw", "zstd", "lz4", "jpeg", "jpeg-50"]
X = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 4, 8)


@pytest.mark.parametrize("encoding", ["raw", "zstd", "lz4", "jpeg"])
@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_lossless_encodings_change_nothing(encoding, bits):
    plain = proto_to_array(array_to_proto("x", X, bits))
    np.testing.assert_array_equal(proto_to_array(array_to_proto("x", X, bits, encoding)), plain)


def test_an_unknown_encoding_is_refused_by_the_sender():
    with pytest.raises(FrameError, match="raw, zstd or lz4"):
        array_to_proto("x", X, 32, "gzip")


@pytest.mark.parametrize(("encoding", "compress"), [("zstd", zstandard.compress), ("lz4", lz4.frame.compress)])
def test_a_decompression_bomb_is_refused_and_never_unfolded(encoding, compress):
    message = array_to_proto("x", X, 32, encoding)
    message.payload = compress(bytes(1 << 26))
    with pytest.raises(FrameError, match="256 bytes expected"):
        proto_to_array(message)


@pytest.mark.parametrize("encoding", ["zstd", "lz4"])
@pytest.mark.parametrize("payload", [b"", b"no frame of anything", bytes(100)])
def test_payloads_that_are_not_compressed_are_refused(encoding, payload):
    message = array_to_proto("x", X, 32, encoding)
    message.payload = payload
    with pytest.raises(FrameError):
        proto_to_array(message)


@pytest.mark.parametrize("cut", [1, 10, 60])
@pytest.mark.parametrize("encoding", ["zstd", "lz4"])
def test_truncated_payloads_are_refused(encoding, cut):
    message = array_to_proto("x", np.random.default_rng(0).normal(size=64).astype(np.float32), 32, encoding)
    message.payload = message.payload[:-cut]
    with pytest.raises(FrameError):
        proto_to_array(message)


def test_unknown_enumerations_and_jpeg_of_what_is_no_picture_are_refused():
    for change in ({"encoding": pb.ENCODING_JPEG}, {"encoding": 9}, {"packing": 0}, {"packing": 7}):
        message = array_to_proto("x", X)
        for name, value in change.items():
            setattr(message, name, value)
        with pytest.raises(FrameError):
            proto_to_array(message)


def test_tensors_that_each_may_come_are_refused_where_they_are_too_much_together():
    quarter = [
        pb.Tensor(name=str(i), dtype="float32", shape=[1 << 26], bits=1, encoding=pb.ENCODING_ZSTD, packing=1, scale=1)
        for i in range(5)
    ]
    check_activations(pb.ActivationSet(rows=1, tensors=quarter[:4]))
    with pytest.raises(FrameError, match="at most 1073741824 bytes once decoded, not 1342177280"):
        check_activations(pb.ActivationSet(rows=1, tensors=quarter))


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_frame_or_refused(data):
    try:
        frame = parse_upstream(data)
    except FrameError:
        return
    assert frame.WhichOneof("kind")


@settings(max_examples=300)
@given(st.data())
def test_a_frame_with_flipped_bytes_is_read_or_refused_but_never_crashes(data):
    frame = pb.UpstreamFrame()
    frame.activations.request_id, frame.activations.plan, frame.activations.rows = bytes(16), "p", 2
    bits, encoding = data.draw(st.sampled_from([4, 8, 32])), data.draw(st.sampled_from(ENCODINGS))
    frame.activations.tensors.append(array_to_proto("x", X, bits, encoding))
    mutable = bytearray(frame.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = parse_upstream(bytes(mutable))
        check_activations(read.activations)
        for tensor in read.activations.tensors:
            array = proto_to_array(tensor)
            assert array.nbytes <= 1 << 30
    except FrameError:
        return


def test_ids_rows_and_names_are_checked():
    short = pb.UpstreamFrame(probe=pb.Probe(request_id=b"12"))
    with pytest.raises(FrameError, match="16 bytes"):
        parse_upstream(short.SerializeToString())
    with pytest.raises(FrameError, match="activations, a probe or a cancel"):
        parse_upstream(b"")
    twice = [array_to_proto("x", X), array_to_proto("x", X)]
    for message, reason in (
        (pb.ActivationSet(rows=0), "rows"),
        (pb.ActivationSet(rows=1 << 20), "rows"),
        (pb.ActivationSet(rows=1, tensors=twice), "once"),
        (pb.ActivationSet(rows=1, tensors=[pb.Tensor(name=str(i)) for i in range(600)]), "at most"),
    ):
        with pytest.raises(FrameError, match=reason):
            check_activations(message)
