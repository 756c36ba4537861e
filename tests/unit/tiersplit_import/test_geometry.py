from pathlib import Path

from tests.support.imports import import_copy
from tiersplit_core.graph.ir import Geometry


def test_geometry_multiplies_out_to_the_macs_of_every_layer_that_has_one(tmp_path: Path) -> None:
    for name in ("chain", "dense", "shuffle"):
        graph = import_copy(name, tmp_path / name).graph
        with_macs = [layer for layer in graph.layers if layer.macs]
        assert with_macs
        assert [layer.geometry.macs for layer in with_macs if layer.geometry] == [layer.macs for layer in with_macs]
        assert not [layer for layer in graph.layers if layer.geometry and not layer.macs]


def test_a_convolution_and_a_linear_layer_say_what_they_read_and_compute(tmp_path: Path) -> None:
    graph = import_copy("chain", tmp_path / "b").graph
    assert graph["features.0"].geometry == Geometry((3, 3), (1, 1), 1, (3, 16, 16), (8, 16, 16))
    assert graph["features.4"].geometry == Geometry((3, 3), (1, 1), 4, (8, 8, 8), (8, 8, 8))
    assert graph["head.4"].geometry == Geometry((1, 1), (1, 1), 1, (16, 1, 1), (5, 1, 1))
