from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.support.patience import START_S, holds_in_one
from tests.support.quantised_cnn import quantised_cnn
from tests.support.small_cnn import small_cnn
from tiersplit_bundle.bundle import Bundle
from tiersplit_core.errors import BundleError, OperationError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.profile.layers import ProfileKind
from tiersplit_core.profile.refine import disagreement, merge_segments, refine
from tiersplit_import.segments import materialise
from tiersplit_stage.measure.job import Answer, Job, Kernel, Program
from tiersplit_stage.measure.process import run_job
from tiersplit_stage.measure.segments import measure_segments, running_order
from tiersplit_stage.measure.settings import Settings, at_batch, write_inputs
from tiersplit_stage.measure.whole import measure_layers

SETTINGS = Settings("edge", batches=(1, 3), budget_s=0.02, timeout_s=START_S)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(small_cnn(tmp_path_factory.mktemp("measured") / "small.bundle"))


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """The same with three segments, and their ids."""
    path = small_cnn(tmp_path_factory.mktemp("divided") / "small.bundle")
    graph = Bundle.open(path).graph
    tiers = dict(zip(graph.index, ("a", "b", "b", "c", "c"), strict=True))
    specs = segments_of(graph, [Plan(tiers)])
    return materialise(path, specs), tuple(spec.id for spec in specs)


def said():
    heard = []
    return heard, heard.append


def test_layers_of_a_real_run_sum_to_the_whole_model(bundle):
    heard, say = said()
    profile = measure_layers(bundle, SETTINGS, say)
    assert (profile.kind, profile.graph, profile.threads) == (ProfileKind.MEASURED, bundle.graph_digest, 1)
    assert heard == ["batch 1", "batch 3"]
    for seen in profile.batches.values():
        assert seen.layers.keys() == bundle.graph.index.keys()
        total = sum(timing.median_s for timing in seen.layers.values())
        assert total == pytest.approx(seen.whole.median_s, rel=1e-9)
        assert all(timing.median_s > 0 for timing in seen.layers.values())
        assert seen.whole.runs >= 3
        assert 0 < seen.memory_bytes < 2**30
    assert profile.base_bytes > 2**20
    assert profile.machine["runtime_version"]
    assert profile_from_json(profile_to_json(profile), bundle.graph, bundle.graph_digest) == profile


def test_segments_run_as_on_a_stage_and_refine_the_layers(divided):
    bundle, ids = divided
    settings = replace(SETTINGS, batches=(1,))
    profile = measure_layers(bundle, settings, lambda _: None)
    measured = measure_segments(bundle, settings, lambda _: None)
    layers = {segment.digest: segment.layers for segment in bundle.segments}
    assert measured[1].keys() == layers.keys()
    assert len(ids) == 3
    merged = merge_segments(profile, measured)
    assert disagreement(refine(bundle.graph, merged, layers), layers) < 1e-9


def test_an_emulated_stage_waits_after_each_segment(divided):
    bundle, _ = divided

    def measured():
        slow = measure_segments(bundle, replace(SETTINGS, batches=(1,), slowdown=50.0), lambda _: None)
        fast = measure_segments(bundle, replace(SETTINGS, batches=(1,)), lambda _: None)
        return sum(t.median_s for t in slow[1].values()) > 5 * sum(t.median_s for t in fast[1].values())

    assert holds_in_one(measured)


def test_chosen_segments_are_measured_with_the_help_of_their_sources(divided):
    bundle, ids = divided
    last = next(segment for segment in bundle.segments if segment.id == ids[-1])
    measured = measure_segments(bundle, replace(SETTINGS, batches=(2,)), lambda _: None, [last.id])
    assert measured[2].keys() == {last.digest}
    assert [segment.id for segment in running_order(bundle, [last.id])] == list(ids)


def test_helpers_are_those_with_the_least_bytes_and_only_those_that_are_needed(tmp_path):
    bundle = quantised_cnn(tmp_path / "b")
    edge = dict(zip(bundle.graph.index, ("edge", "edge", "mdc", "cloud", "cloud"), strict=True))
    widths = {"conv1": (2, 8), "conv2": (2, 8)}
    plans = [Plan(edge), Plan(edge, widths), Plan(dict.fromkeys(bundle.graph.index, "cloud"))]
    other = [Plan({**edge, "conv2": "mdc"}), Plan({**edge, "conv2": "mdc"}, {"conv1": (2, 8)})]
    first, later = (segments_of(bundle.graph, chosen) for chosen in (plans, other))
    held = materialise(bundle.root, [*first, *later])
    add = next(spec for spec in first if spec.layers == ("add",))
    order = running_order(held, [add.id])
    assert [segment.layers for segment in order] == [("conv1", "conv2"), ("add",)]
    assert order[0].id == next(spec.id for spec in first if spec.widths)


def test_a_segment_that_was_not_cut_is_refused_by_name(divided, bundle):
    with pytest.raises(BundleError, match="seg-unknown"):
        running_order(divided[0], ["seg-unknown"])
    with pytest.raises(BundleError, match="materialise"):
        running_order(bundle)


def test_slowdown_is_contained_in_the_seconds_and_recorded(bundle):
    settings = replace(SETTINGS, batches=(1,))

    def measured():
        fast, slow = (measure_layers(bundle, replace(settings, slowdown=f), lambda _: None) for f in (1.0, 1000.0))
        assert slow.slowdown == 1000.0
        return slow.batches[1].whole.median_s > 50 * fast.batches[1].whole.median_s

    assert holds_in_one(measured)


def test_a_failing_process_is_reported_with_its_reason(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    job = Job((Program("p", str(tmp_path / "bad.onnx"), ("x",), ()),), {"x": str(tmp_path / "missing")}, 1, 0.1)
    with pytest.raises(OperationError, match="missing"):
        run_job(job, START_S)


def test_kernels_that_the_runtime_makes_of_one_operator_belong_to_its_layer(tmp_path):
    names = ("x", "soft", "y")
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in names]
    nodes = [
        helper.make_node("HardSwish", ["x"], ["soft"], name="act"),
        helper.make_node("Softmax", ["soft"], ["y"], name="last"),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "made", infos[:1], infos[2:]), opset_imports=[helper.make_opsetid("", 21)]
    )
    model.ir_version = 10
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "x.npy", np.ones((1, 64), np.float32))
    program = Program("p", str(tmp_path / "m.onnx"), ("x",), ("y",))
    answer = run_job(Job((program,), {"x": str(tmp_path / "x.npy")}, 1, 0.02, kernels=True), START_S)
    assert [kernel.layer for kernel in answer.kernels] == ["act", "act", "last"]


def test_inputs_repeat_the_golden_sample_along_the_batch_axis(bundle, tmp_path):
    files = write_inputs(bundle, 3, tmp_path)
    golden, _ = bundle.golden()
    found = np.load(files["x"])
    assert found.shape[0] == 3
    assert all(np.array_equal(row, golden["x"][0]) for row in found)
    spec = TensorSpec("x", "float32", (2, 1, 3), batch_axis=1)
    assert at_batch(np.ones(spec.shape), spec, 4).shape == (2, 4, 3)


def test_jobs_and_answers_survive_their_journey():
    program = Program("p", "f", ("a",), ("b",))
    job = Job((program,), {"a": "v"}, 2, 0.5, keep={"b": "k"}, kernels=True, memory_bytes=5)
    assert Job.from_json(job.to_json()) == job
    answer = Answer({"p": (0.1, 0.2)}, 1, 2, 3, 4, 5, (Kernel("l", (0.1,)), Kernel(None, (0.2,))))
    assert Answer.from_json(answer.to_json()) == answer
