"""Chunks that a tier cuts for itself: run one after another they compute what the whole model computes."""

from itertools import pairwise

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.quantised_cnn import images, quantised_cnn
from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import LayerGraph, TensorSpec
from tiersplit_core.quantization.forms import RunForm
from tiersplit_stage.measure.cutting import ModelFile
from tiersplit_stage.measure.whole import program_in
from tiersplit_stage.sessions import open_session

CUTS = st.sets(st.integers(1, 4))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return quantised_cnn(tmp_path_factory.mktemp("cut") / "b")


def run(program, values):
    session = open_session(program.path, 1, [])
    found = session.run(list(program.outputs), {name: values[name] for name in program.inputs})
    return dict(zip(program.outputs, found, strict=True))


@pytest.mark.parametrize("form", list(RunForm))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=16, deadline=None)
@given(cuts=CUTS)
def test_chunks_compute_what_the_whole_model_computes(bundle, tmp_path_factory, form, cuts):
    names, whole = tuple(bundle.graph.index), program_in(bundle, form)
    model = ModelFile(bundle.root / whole.path, bundle.graph)
    values = {"x": images(3)}
    expected = run(whole, values)
    for begin, end in pairwise(sorted({0, len(names), *cuts})):
        chunk = model.cut(names[begin:end], tmp_path_factory.mktemp("chunk"))
        values |= run(chunk, values)
    # Rounding at the cuts happens twice, on the same grid.
    np.testing.assert_allclose(values["y"], expected["y"], rtol=1e-4, atol=1e-4)


def test_a_chunk_brings_its_own_constants_alone(bundle, tmp_path):
    model = ModelFile(bundle.model_path, bundle.graph)
    program = model.cut(("conv2",), tmp_path)
    made = onnx.load(program.path, load_external_data=False)
    assert {tensor.name for tensor in made.graph.initializer} == {"conv2.w"}
    assert len(program.weights) == 1
    assert (program.inputs, program.outputs) == (("a",), ("b",))
    assert {path.name for path in tmp_path.iterdir()} == {
        "chunk.onnx",
        *(w.rsplit("/", 1)[-1] for w in program.weights),
    }


def test_what_is_handed_on_past_a_chunk_is_not_read_by_it(bundle, tmp_path):
    program = ModelFile(bundle.model_path, bundle.graph).cut(("conv1", "conv2"), tmp_path)
    assert (program.inputs, program.outputs) == (("x",), ("a", "b"))


def test_bytes_of_a_layers_constants_are_those_that_it_reads_in_the_form(bundle):
    sizes = {form: ModelFile(bundle.root / program_in(bundle, form).path, bundle.graph).stored for form in RunForm}
    assert sizes[RunForm.FLOAT]["add"] == 0
    assert sizes[RunForm.FLOAT]["conv2"] >= 4 * 8 * 8 * 9
    assert 8 * 8 * 9 <= sizes[RunForm.INT8]["conv2"] < sizes[RunForm.FLOAT]["conv2"] / 2
    assert 8 * 8 * 9 / 2 <= sizes[RunForm.PACKED]["conv2"] < sizes[RunForm.INT8]["conv2"]


def test_what_is_no_model_or_has_nodes_without_layers_is_refused(bundle, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ModelError, match="no ONNX file"):
        ModelFile(tmp_path / "bad.onnx", bundle.graph)
    made = onnx.load(str(bundle.model_path), load_external_data=False)
    del made.graph.node[0].metadata_props[:]
    (tmp_path / "bare.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(ModelError, match="'conv1' belongs to no layer"):
        ModelFile(tmp_path / "bare.onnx", bundle.graph)


def test_a_tensor_of_a_type_that_numpy_has_not_cannot_be_handed_on(bundle, tmp_path):
    inputs = (TensorSpec("x", "str", (1, 3, 16, 16)),)
    graph = LayerGraph("other", inputs, bundle.graph.layers, bundle.graph.outputs, bundle.graph.output_names)
    with pytest.raises(ModelError, match="'x' is str"):
        ModelFile(bundle.model_path, graph).cut(("conv1",), tmp_path)
