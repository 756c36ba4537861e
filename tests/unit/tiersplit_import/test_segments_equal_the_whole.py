from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils import _pytree

from tests.support import models
from tests.support.cutting import Pieces, assert_close, ordered, random_plans
from tests.support.imports import import_copy
from tiersplit_bundle import Bundle
from tiersplit_core.errors import GraphError
from tiersplit_core.planning.segments import SegmentSpec, segments_of
from tiersplit_import.cutter import boundary
from tiersplit_import.probe import random_inputs
from tiersplit_import.segments import materialise

CASES = [(name, options) for name in sorted(models.INPUTS) for options in ({}, {"optimise": False})]


@pytest.fixture(scope="module", params=CASES, ids=str)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name, options = request.param
    path = tmp_path_factory.mktemp("bundle") / name
    import_copy(name, path, **options)
    return name, path


def torch_answer(name: str, bundle: Bundle, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        result = getattr(models, name)().eval()(*(torch.from_numpy(value) for value in feeds.values()))
    leaves = [leaf.numpy() for leaf in _pytree.tree_leaves(result)]
    return dict(zip((key for key, _ in bundle.graph.output_names), leaves, strict=True))


def test_any_chain_of_down_sets_computes_what_the_model_computes(imported: tuple[str, Path]) -> None:
    name, path = imported
    graph = Bundle.open(path).graph
    for seed, plans in enumerate(random_plans(graph, tiers, count, 5) for tiers, count in ((2, 1), (3, 1), (3, 3))):
        segments = segments_of(graph, plans)
        bundle = materialise(path, segments)
        pieces = Pieces(bundle, ordered(bundle, [segment.id for segment in segments]))
        for batch in (1, 2, 5, 64):
            feeds = random_inputs(graph.inputs, batch, seed)
            assert_close(pieces(feeds), torch_answer(name, bundle, feeds))


def test_every_single_layer_can_be_a_segment_of_its_own(imported: tuple[str, Path]) -> None:
    name, path = imported
    graph = Bundle.open(path).graph
    specs = [SegmentSpec(layer.name, (layer.name,), *boundary(graph, [layer.name])) for layer in graph.layers]
    bundle = materialise(path, specs)
    feeds = random_inputs(graph.inputs, 3)
    got = Pieces(bundle, ordered(bundle, [spec.id for spec in specs]))(feeds)
    assert_close(got, torch_answer(name, bundle, feeds))


def test_values_have_the_shapes_that_the_graph_says(imported: tuple[str, Path]) -> None:
    _, path = imported
    graph = Bundle.open(path).graph
    specs = [SegmentSpec(layer.name, (layer.name,), *boundary(graph, [layer.name])) for layer in graph.layers]
    bundle = materialise(path, specs)
    held = {**random_inputs(graph.inputs, 4)}
    for segment in ordered(bundle, [spec.id for spec in specs]):
        pieces = Pieces(bundle, [segment])
        session = pieces._pieces[0][1]
        held.update(
            zip(segment.outputs, session.run(list(segment.outputs), {n: held[n] for n in segment.inputs}), strict=True)
        )
    for spec in (spec for layer in graph.layers for spec in layer.tensors):
        shape = list(spec.shape)
        shape[spec.batch_axis] *= 4
        assert list(held[spec.name].shape) == shape and held[spec.name].dtype == spec.dtype, spec.name


def test_a_set_of_layers_that_needs_itself_is_no_segment(tmp_path: Path) -> None:
    graph = import_copy("dense", tmp_path / "b").graph
    first, last = graph.layers[0].name, graph.layers[-1].name
    with pytest.raises(GraphError, match="which itself needs this segment"):
        materialise(tmp_path / "b", [SegmentSpec("loop", (first, last), ("input",), graph.outputs)])
    assert Bundle.open(tmp_path / "b").segments == ()


def test_cutting_twice_adds_nothing(tmp_path: Path) -> None:
    graph = import_copy("dense", tmp_path / "b").graph
    segments = segments_of(graph, random_plans(graph, 2, 1, 0))
    first = materialise(tmp_path / "b", segments)
    assert materialise(tmp_path / "b", segments).digest == first.digest
