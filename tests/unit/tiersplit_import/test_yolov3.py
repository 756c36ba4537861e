from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.factory import default_inputs, load_module
from tiersplit_import.models import yolov3, yolov3_spp, yolov3_tiny
from tiersplit_import.models.layer_table import (
    Conv,
    Detect,
    MaxPool,
    Route,
    Row,
    Shortcut,
    Upsample,
    yolov3_rows,
    yolov3_spp_rows,
    yolov3_tiny_rows,
)
from tiersplit_import.models.yolov3 import Boxes, SamePool, Yolo
from tiersplit_import.options import ImportOptions
from tiersplit_import.pipeline import import_model

# name -> rows, detection rows (AUTO-SPLIT, table 9), learnt numbers, numbers in a published weight file
PUBLISHED = {
    "yolov3": (yolov3_rows, yolov3, 107, [82, 94, 106], 61_949_149, 62_001_757),
    "yolov3_tiny": (yolov3_tiny_rows, yolov3_tiny, 24, [16, 23], 8_852_366, 8_858_734),
    "yolov3_spp": (yolov3_spp_rows, yolov3_spp, 114, [89, 101, 113], 62_998_749, 63_052_381),
}
IMAGE = (TensorSpec("image", "float32", (1, 3, 64, 64)),)


def learnt_by_table(rows: tuple[Row, ...], per_norm: int) -> int:
    """Weights, biases and `per_norm` numbers per normalised filter, worked out from the table alone."""
    channels: list[int] = []
    total = 0
    for i, row in enumerate(rows):
        before = channels[i - 1] if i else 3
        if isinstance(row, Conv):
            total += row.filters * (before * row.size**2 + (per_norm if row.has_norm else 1))
        sizes = {Conv: lambda row: row.filters, Route: lambda row: sum(channels[j] for j in row.rows)}
        channels.append(sizes.get(type(row), lambda _, before=before: before)(row))
    return total


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_table_has_the_published_rows_and_parameters(name: str) -> None:
    table, factory, count, detections, learnt, stored = PUBLISHED[name]
    rows = table(80)
    assert len(rows) == count
    assert [i for i, row in enumerate(rows) if isinstance(row, Detect)] == detections
    assert learnt_by_table(rows, 2) == learnt
    assert learnt_by_table(rows, 4) == stored
    with torch.device("meta"):
        module = factory()
    assert sum(parameter.numel() for parameter in module.parameters()) == learnt


def test_rows_read_what_the_published_tables_say() -> None:
    rows = yolov3_rows(80)
    assert [rows[i] for i in (4, 61, 83, 86, 95, 98)] == [
        Shortcut(1), Shortcut(58), Route((79,)), Route((85, 61)), Route((91,)), Route((97, 36)),
    ]  # fmt: skip
    pyramid = yolov3_spp_rows(80)[78:84]
    assert pyramid == (
        MaxPool(5, 1), Route((77,)), MaxPool(9, 1), Route((77,)), MaxPool(13, 1), Route((82, 80, 78, 77)),
    )  # fmt: skip
    tiny = yolov3_tiny_rows(80)
    assert (tiny[11], tiny[17], tiny[19], tiny[20]) == (MaxPool(2, 1), Route((13,)), Upsample(), Route((19, 8)))


@pytest.mark.parametrize("size", [2, 5])
def test_a_pool_of_stride_one_is_padded_with_nothing_that_could_win(size: int) -> None:
    value = -torch.rand(1, 2, 6, 6) - 1
    before = (size - 1) // 2
    padded = torch.nn.functional.pad(value, (before, size - 1 - before) * 2, value=-torch.inf)
    assert torch.equal(SamePool(size)(value), torch.nn.functional.max_pool2d(padded, size, 1))


def test_boxes_are_read_as_the_paper_writes() -> None:
    numbers = torch.zeros(1, 2 * 6, 2, 3)
    numbers[0, 6 + 2, 1, 2] = 1.0
    found = Boxes([(10, 20), (30, 40)], stride=8)(numbers).reshape(2, 2, 3, 6)
    assert found[0, 0, 0].tolist() == [4.0, 4.0, 10.0, 20.0, 0.5, 0.5]
    torch.testing.assert_close(found[1, 1, 2], torch.tensor([20.0, 12.0, 30 * torch.e, 40.0, 0.5, 0.5]))


@pytest.mark.parametrize("table", [yolov3_rows, yolov3_tiny_rows, yolov3_spp_rows])
def test_each_scale_has_boxes_for_its_places(table: Callable[[int], tuple[Row, ...]]) -> None:
    rows = tuple(Conv(row.filters // 16, row.size, row.stride) if isinstance(row, Conv) and row.has_norm else row
                 for row in table(2))  # fmt: skip
    with torch.inference_mode():
        found = Yolo(rows).eval()(torch.rand(2, 3, 96, 64))
    assert [tuple(boxes.shape) for boxes in found] == [(2, 3 * 6 * 4**i, 7) for i in range(len(found))]


def test_the_network_is_imported_with_its_rows_as_layers(tmp_path: Path) -> None:
    options = ImportOptions(inputs=IMAGE, random_weights=True)
    made = import_model("tiersplit_import.models:yolov3_tiny", tmp_path / "b", options)
    rows = [int(layer.name.split(".")[1]) for layer in made.graph.layers]
    assert rows == [i for i in range(24) if i != 17]  # row 17 hands row 13 on as it is
    assert made.graph["layers.16"].inputs == ("layers.15.conv",) and len(made.graph.outputs) == 2
    assert sum(layer.parameters for layer in made.graph.layers) == 8_852_366


def test_weights_of_a_safetensors_file_are_loaded(tmp_path: Path) -> None:
    torch.manual_seed(5)
    trained = yolov3_tiny()
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    options = ImportOptions(inputs=IMAGE, weights=tmp_path / "w.safetensors")
    module = load_module("tiersplit_import.models:yolov3_tiny", options)
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in module.state_dict().items())


def test_the_image_has_its_published_size_where_nobody_says() -> None:
    assert default_inputs("tiersplit_import.models:yolov3")[0].shape == (1, 3, 416, 416)
