"""Datatypes of the Open Inference Protocol against numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.errors import RequestError
from tiersplit_wire.datatypes import DATATYPES, array_from_raw, array_from_typed, array_to_raw, datatype_of
from tiersplit_wire.v1 import inference_pb2 as pb

NUMPY = {name: name.lower().replace("fp", "float") for name in DATATYPES if name != "BYTES"}


@pytest.mark.parametrize("datatype", NUMPY)
def test_every_datatype_survives_raw_contents(datatype):
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(NUMPY[datatype])
    assert datatype_of(array.dtype) == datatype
    np.testing.assert_array_equal(array_from_raw(array_to_raw(array), datatype, (2, 3)), array)


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_bytes_survive_raw_contents(values):
    array = np.array(values, object)
    assert array_from_raw(array_to_raw(array), "BYTES", (len(values),)).tolist() == values


@given(st.binary(max_size=40), st.integers(0, 5))
def test_hostile_bytes_are_strings_or_refused(raw, count):
    try:
        assert len(array_from_raw(raw, "BYTES", (count,))) == count
    except RequestError:
        return


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("BOOL", "bool_contents"),
        ("INT8", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT16", "uint_contents"),
        ("UINT64", "uint64_contents"),
        ("FP32", "fp32_contents"),
        ("FP64", "fp64_contents"),
    ],
)
def test_typed_contents_become_arrays_of_their_datatype(datatype, field):
    contents = pb.InferTensorContents(**{field: [1, 0]})
    array = array_from_typed(contents, datatype, (2, 1))
    assert array.dtype == np.dtype(NUMPY[datatype])
    assert array.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("contents", "datatype", "reason"),
    [
        ({"int_contents": [300, 1]}, "INT8", "INT8"),
        ({"uint_contents": [256, 1]}, "UINT8", "UINT8"),
        ({"fp32_contents": [1.0]}, "FP32", "2 elements"),
        ({"fp64_contents": [1.0, 2.0]}, "FP32", "fp32_contents"),
        ({"fp32_contents": [1.0, 2.0]}, "FP16", "raw_input_contents"),
    ],
)
def test_typed_contents_that_do_not_fit_are_refused(contents, datatype, reason):
    with pytest.raises(RequestError, match=reason):
        array_from_typed(pb.InferTensorContents(**contents), datatype, (2,))


def test_an_unknown_datatype_is_refused_with_the_known_ones():
    with pytest.raises(RequestError, match="FP32"):
        array_from_raw(b"", "FP8", (0,))
