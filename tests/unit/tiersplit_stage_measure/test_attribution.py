import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import graphs
from tests.support.small_cnn import graph, model, small_cnn
from tiersplit_bundle.bundle import Bundle
from tiersplit_core.errors import ModelError
from tiersplit_stage.measure.attribution import attribute, layer_of, owners
from tiersplit_stage.measure.job import Kernel
from tiersplit_stage.measure.onnx_nodes import Node, read_nodes
from tiersplit_stage.measure.timings import layer_timings, timing_of


def test_nodes_are_read_as_the_onnx_package_reads_them(tmp_path):
    path = Bundle.open(small_cnn(tmp_path / "b")).model_path
    expected = onnx.load(str(path), load_external_data=False).graph.node
    found = read_nodes(path)
    assert [(n.name, n.op, n.inputs, n.outputs) for n in found] == [
        (n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in expected
    ]
    assert [n.layer for n in found] == [n.metadata_props[0].value for n in expected]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_never_crash_the_reader(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("hostile") / "m.onnx"
    path.write_bytes(data)
    try:
        read_nodes(path)
    except ModelError as error:
        assert error.path == str(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ModelError, match="nowhere"):
        read_nodes(tmp_path / "nowhere.onnx")


def node(name, op, inputs, outputs, layer=""):
    return Node(name, op, tuple(inputs), tuple(outputs), layer)


ORIGINAL = [
    node("conv1", "Conv", ["x"], ["a.raw"]),
    node("conv1#1", "Relu", ["a.raw"], ["a"]),
    node("block/conv2", "Conv", ["a"], ["b"]),
    node("gelu", "Gelu", ["b"], ["c"]),
]


@pytest.mark.parametrize(
    ("optimised", "layer"),
    [
        (node("conv1", "Conv", ["x"], ["?"]), "conv1"),
        (node("conv1#1", "Relu", ["?"], ["?2"]), "conv1"),
        (node("a_nchwc", "Conv", ["?"], ["reorder_1"]), "conv1"),
        (node("b_bn_nchwc", "Conv", ["?"], ["reorder_2"]), "block/conv2"),
        (node("block/conv2/QuickGeluFusion/", "QuickGelu", ["?"], ["?2"]), "block/conv2"),
        (node("conv1_token_7", "QLinearConv", ["?"], ["?2"]), "conv1"),
        (node("block/conv2_token_12", "QLinearConv", ["?"], ["?2"]), "block/conv2"),
        (node("BiasGelu", "BiasGelu", ["?"], ["c"]), "gelu"),
        (node("alien", "Alien", ["?"], ["?2"]), None),
    ],
)
def test_renamed_and_fused_kernels_are_recognised(optimised, layer):
    assert attribute(ORIGINAL, [optimised]) == [layer]


def test_layout_changes_belong_to_the_kernel_that_needs_them():
    optimised = [
        node("ReorderInput", "ReorderInput", ["x"], ["r0"]),
        node("a_nchwc", "Conv", ["r0"], ["r1"]),
        node("ReorderOutput", "ReorderOutput", ["r1"], ["r2"]),
        node("gelu", "Gelu", ["r2"], ["c"]),
    ]
    assert attribute(ORIGINAL, optimised) == ["conv1", "conv1", "conv1", "gelu"]


def test_a_transposition_before_and_after_kernels_with_channels_last_belongs_to_a_kernel_beside_it():
    optimised = [
        node("Transpose", "Transpose", ["x"], ["t0"]),
        node("conv1_token_2", "QLinearConv", ["t0"], ["t1"]),
        node("Transpose_token_5", "Transpose", ["t1"], ["t2"]),
        node("gelu", "Gelu", ["t2"], ["c"]),
    ]
    assert attribute(ORIGINAL, optimised) == ["conv1", "conv1", "conv1", "gelu"]


def test_a_node_without_metadata_has_its_layer_in_its_name():
    assert layer_of(node("layer1.0.conv1#3", "Relu", [], [])) == "layer1.0.conv1"
    assert layer_of(node("anything", "Relu", [], [], "real")) == "real"


def test_a_fused_layer_is_owned_by_the_source_that_runs_last():
    assert owners(graph(), {"conv1", "conv2", "pool", "fc"}) == {"add": "conv2"}
    assert owners(graph(), {"conv1", "fc"}) == {"conv2": "conv1", "add": "conv1", "pool": "conv1"}


SECONDS = st.one_of(st.just(0.0), st.floats(1e-9, 1))
"""Of one kernel's run; a profiler counts nanoseconds at the finest."""


@given(st.data())
def test_layers_always_sum_to_the_whole(data):
    random = data.draw(graphs())
    names = st.one_of(st.none(), st.sampled_from([*random.index, "foreign"]))
    seconds = st.tuples(*[SECONDS] * 3)
    kernels = [Kernel(layer, runs) for layer, runs in data.draw(st.lists(st.tuples(names, seconds), max_size=12))]
    whole = data.draw(st.floats(1e-6, 10))
    found = layer_timings(random, kernels, whole, tuple(random.index))
    assert found.keys() == random.index.keys()
    assert sum(timing.median_s for timing in found.values()) == pytest.approx(whole, rel=1e-9)
    assert all(timing.median_s >= 0 for timing in found.values())


def test_a_fused_kernel_is_divided_by_work():
    kernels = [Kernel("conv1", (1.0,)), Kernel("conv2", (3.0,)), Kernel("pool", (1.0,)), Kernel("fc", (1.0,))]
    found = layer_timings(graph(), kernels, 6.0, tuple(graph().index))
    assert found["conv2"].median_s + found["add"].median_s == pytest.approx(3.0)
    assert found["conv2"].median_s > 20 * found["add"].median_s > 0


def test_median_and_interquartile_range_are_times_the_factor():
    timing = timing_of([5.0, 1.0, 2.0, 4.0, 3.0], 2.0)
    assert (timing.median_s, timing.spread_s, timing.runs) == (6.0, 4.0, 5)


def test_the_support_model_is_a_valid_onnx_model(tmp_path):
    path = Bundle.open(small_cnn(tmp_path / "b")).model_path
    onnx.checker.check_model(str(path))
    assert model.__name__ == "model"
