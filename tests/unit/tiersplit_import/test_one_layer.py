from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import opaque_models
from tests.support.cutting import Pieces, assert_close, ordered
from tiersplit_core.errors import ModelError
from tiersplit_core.planning.segments import SegmentSpec
from tiersplit_import.cutter import boundary
from tiersplit_import.options import ImportOptions, parse_input
from tiersplit_import.pipeline import Imported, import_model
from tiersplit_import.probe import random_inputs
from tiersplit_import.segments import materialise
from tiersplit_import.suppression import suppress


def imported(name: str, path: Path) -> Imported:
    options = ImportOptions(inputs=(parse_input(opaque_models.IMAGE),))
    return import_model(f"tests.support.opaque_models:{name}", path / name, options)


def test_what_an_opaque_module_computes_is_one_layer_that_says_so(tmp_path: Path) -> None:
    graph = imported("remaining", tmp_path).graph
    assert [(layer.name, layer.opaque) for layer in graph.layers] == [("0", False), ("2", True)]
    assert graph["2"].tensors[0].shape == (1, 64)


def test_cut_before_its_opaque_layer_a_model_computes_the_same_at_any_batch_size(tmp_path: Path) -> None:
    graph = imported("remaining", tmp_path).graph
    specs = [SegmentSpec(layer.name, (layer.name,), *boundary(graph, [layer.name])) for layer in graph.layers]
    bundle = materialise(tmp_path / "remaining", specs)
    pieces = Pieces(bundle, ordered(bundle, [spec.id for spec in specs]))
    module = opaque_models.remaining().eval()
    for batch in (1, 2, 7):
        feeds = random_inputs(graph.inputs, batch)
        with torch.inference_mode():
            wanted = module(torch.from_numpy(next(iter(feeds.values())))).numpy()
        assert len(np.unique(wanted)) > 2
        assert_close(pieces(feeds), dict(zip((key for key, _ in graph.output_names), [wanted], strict=True)))


def test_a_module_of_one_layer_is_not_divided_and_may_run_anywhere(tmp_path: Path) -> None:
    graph = imported("doubling", tmp_path).graph
    assert [(layer.name, layer.opaque) for layer in graph.layers] == [("0", False), ("2", False)]


def test_sizes_that_depend_on_data_are_refused_outside_of_opaque_modules(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"NonMaxSuppression.*tiersplit_import\.one_layer\.Opaque"):
        imported("unmarked", tmp_path)


def test_a_result_whose_size_depends_on_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="depends on data"):
        imported("counting", tmp_path)


def test_suppression_keeps_the_better_of_two_boxes_that_overlap_group_by_group() -> None:
    near, far = [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]
    boxes = torch.tensor([[near, near, far], [near, far, far]])
    scores = torch.tensor([[0.5, 0.9, 0.1], [0.0, 0.4, 0.3]])
    assert suppress(boxes, scores, 0.5).tolist() == [[False, True, True], [False, True, False]]
