"""How the tables of AUTO-SPLIT number layers.

Classification networks and Faster R-CNN: convolutions and fully connected layers count, from 0 in the order in which
they run, and a projection that runs beside a block (`downsample` in torchvision) counts before the block's last
convolution: Table 10's 46, 49, 52 and 53 of ResNet-50 and Table 9's 10, 23, 42 and 52 of Faster R-CNN come out so.
Networks of the YOLO family: the row of the published layer table, where shortcuts, routes and detection layers count
too: Table 9's 16 and 23, or 82, 94 and 106, or 89, 101 and 113.
"""

import re
from collections.abc import Mapping

from tiersplit_core.graph.ir import INPUT, LayerGraph

INPUT_INDEX = -1
"""The index of the model's input in Table 10."""

_ROW = re.compile(r"^layers\.([0-9]+)(?:\.|$)")
_PROJECTION = re.compile(r"^(.*)\.downsample\.0$")


def paper_index(graph: LayerGraph) -> Mapping[str, int]:
    """The number of each layer of `graph` in AUTO-SPLIT's tables.

    A layer without weights has the largest number among those of what it reads: a cut behind the sum that ends a block
    is the cut behind the block's last convolution.
    """
    return _rows(graph) or convolution_index(graph)


def counted(graph: LayerGraph) -> str:
    """What `paper_index` counts in a network, in a word: rows of its layer table, or convolutions."""
    return "row" if _rows(graph) else "convolution"


def convolution_index(graph: LayerGraph) -> Mapping[str, int]:
    """The number of each layer where convolutions and fully connected layers alone count, from 0.

    Networks of the YOLO family need it for table 2: the edge memory printed beside its split 58 of YOLOv3 is that of
    the head that ends with the convolution of this number, not with that row of the layer table.
    """
    own = {name: i for i, name in enumerate(_weighted(graph))}
    found = {INPUT: INPUT_INDEX}
    for layer in graph.layers:
        found[layer.name] = own.get(layer.name, max(found[name] for name in layer.inputs))
    return {layer.name: found[layer.name] for layer in graph.layers}


def _rows(graph: LayerGraph) -> Mapping[str, int]:
    """The row of each layer in the published table; empty where one of them has none."""
    rows = {layer.name: _ROW.match(layer.name) for layer in graph.layers}
    return {name: int(row[1]) for name, row in rows.items() if row} if all(rows.values()) else {}


def _weighted(graph: LayerGraph) -> list[str]:
    """Layers with a convolution or a linear map in the tables' order."""
    names = [layer.name for layer in graph.layers if layer.geometry is not None]
    for name in list(names):
        beside = _PROJECTION.match(name)
        if beside is not None:
            block = f"{beside[1]}.conv"
            names.remove(name)
            names.insert(max(i for i, other in enumerate(names) if other.startswith(block)), name)
    return names
