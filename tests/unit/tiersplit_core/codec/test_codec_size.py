"""The size formula against what protocol buffers really write."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tiersplit_core.codec.frame import encode_tensor
from tiersplit_core.codec.size import WireTensor, activation_set_bytes, header_bytes, payload_bytes
from tiersplit_wire.convert import activations_frame, tensor_to_proto
from tiersplit_wire.v1 import activation_pb2 as pb


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
            st.lists(st.integers(0, 300), max_size=3),
            st.sampled_from([1, 2, 4, 6, 8, 16, 32]),
        ),
        max_size=3,
    ),
    st.integers(0, 1000),
    st.integers(0, 300),
    st.integers(0, 2**60),
)
def test_the_predicted_size_of_a_frame_is_its_serialised_size(tensors, next_segment, rows, remaining_us):
    frame = pb.UpstreamFrame()
    sent = frame.activations
    sent.request_id, sent.plan = bytes(16), "sha256:" + 64 * "a"
    sent.next_segment, sent.rows, sent.remaining_us = next_segment, rows, remaining_us
    header = pb.ActivationSet.FromString(sent.SerializeToString())
    described, travelling = [], []
    for name, shape, bits in tensors:
        encoded = encode_tensor(name, np.zeros([min(n, 20) for n in shape], np.float32), bits)
        travelling.append(encoded)
        sent.tensors.append(tensor_to_proto(encoded))
        described.append(WireTensor(name, "float32", encoded.shape, bits, quantised=bits < 16))
    predicted = activation_set_bytes(described, next_segment=next_segment, rows=rows, deadline=remaining_us > 0)
    assert predicted == frame.ByteSize()
    built = activations_frame(header, travelling, ["raw"] * len(travelling))
    assert len(built) == predicted
    assert pb.UpstreamFrame.FromString(built) == frame
    passed_on = activations_frame(header, list(sent.tensors), ["raw"] * len(travelling))
    assert pb.UpstreamFrame.FromString(passed_on) == frame


def test_a_header_is_small_beside_its_payload():
    tensor = WireTensor("layer1.0.conv1", "float32", (1, 64, 56, 56), 8, quantised=True)
    assert payload_bytes(64 * 56 * 56, 8) == 200_704
    assert header_bytes([tensor]) < 200
