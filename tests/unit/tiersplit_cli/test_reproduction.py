"""Rows of the papers' tables."""

import pytest

from tiersplit_cli.reproduction import Block, blocks_of, compressive_bottlenecks, natural_bottlenecks, rows_of
from tiersplit_core.errors import InputError
from tiersplit_core.graph.ir import Layer, LayerGraph, TensorSpec


def graph(**elements: int) -> LayerGraph:
    """A chain whose layers hand on so many elements; `__` stands for a dot."""
    layers, before = [], "input"
    for key, count in elements.items():
        name = key.replace("__", ".")
        layers.append(Layer(name, "Conv", (before,), (TensorSpec(name, "float32", (1, count)),)))
        before = name
    return LayerGraph("net", (TensorSpec("input", "float32", (1, 150_528)),), tuple(layers), (before,))


def test_a_block_hands_on_what_its_last_layer_hands_on() -> None:
    net = graph(features__0__conv=9, features__0__relu=7, features__1__conv=5, classifier=3)
    assert blocks_of(net, 2) == (Block("features.0", 7), Block("features.1", 5))


def test_a_stem_of_one_layer_is_no_nested_block() -> None:
    assert blocks_of(graph(features__0=9, features__1__conv=5), 2, nested=True) == (Block("features.1", 5),)


def test_bottlenecks_are_smaller_than_the_input_and_compressive_ones_than_all_before() -> None:
    blocks = [Block(str(size), size) for size in (20, 8, 9, 8, 5, 6)]
    natural = natural_bottlenecks(blocks, 10)
    assert [block.elements for block in natural] == [8, 9, 8, 5, 6]
    assert [block.elements for block in compressive_bottlenecks(natural)] == [8, 5]


def test_rows_have_the_fields_of_the_contract() -> None:
    rows = rows_of("autosplit", "10")
    assert {row["id"]: row["ours"] for row in rows}["autosplit/10/layer4.0.conv3/volume"] == "100,352"
    assert all(set(row) == {"id", "quantity", "paper", "ours", "comparable", "note"} for row in rows)


@pytest.mark.parametrize(("paper", "table", "path"), [("nothing", None, "PAPER"), ("autosplit", "99", "--table")])
def test_an_unknown_paper_or_table_is_refused_with_those_that_there_are(paper: str, table: str, path: str) -> None:
    with pytest.raises(InputError, match="dynamic-split-computing: 4") as caught:
        rows_of(paper, table)
    assert caught.value.path == path
