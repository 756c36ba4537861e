"""Table 9: the layers of detectors whose values are collected (appendix B)."""

from tiersplit_cli.papers.numbering import paper_index
from tiersplit_cli.papers.rows import Row
from tiersplit_cli.papers.stored import stored_graph
from tiersplit_core.graph.ir import LayerGraph

_YOLO = {"yolov3_tiny": "[16, 23]", "yolov3": "[82, 94, 106]", "yolov3_spp": "[89, 101, 113]"}
_FASTER = {"faster_rcnn": "[10, 23, 42, 52]", "faster_rcnn_late": "[23, 42, 52]"}
_PYRAMID = ".inner_blocks."


def rows() -> list[Row]:
    """Table 9: the layers whose values are collected."""
    numbering = "rows of the published layer table, from 0"
    yolo = [_row(name, paper, _outputs(stored_graph(name)), numbering) for name, paper in _YOLO.items()]
    convolutions = "convolutions, from 0, a block's projection before its last one"
    pyramids = [_row(name, paper, _collected(stored_graph(name)), convolutions) for name, paper in _FASTER.items()]
    return [*yolo, *pyramids, _search_space()]


def _search_space() -> Row:
    """Appendix B gives YOLOv3-SPP the search space of YOLOv3."""
    found = _outputs(stored_graph("yolov3_spp"))
    return Row(
        "autosplit/9/yolov3_spp/search-space",
        "yolov3_spp: rows before the first collected value, where a split is looked for",
        "0 to 82 (appendix B), 0 to 89 (table 9)",
        f"0 to {found[0]}",
        note="82 is YOLOv3's first; YOLOv3-SPP has three poolings, their routes and a convolution more before its own",
    )


def _row(name: str, paper: str, found: list[int], note: str) -> Row:
    return Row(f"autosplit/9/{name}", f"{name}: layers whose values are collected", paper, str(found), note=note)


def _outputs(graph: LayerGraph) -> list[int]:
    index = paper_index(graph)
    return sorted(index[name] for name in graph.outputs)


def _collected(graph: LayerGraph) -> list[int]:
    index = paper_index(graph)
    return sorted(index[layer.inputs[0]] for layer in graph.layers if _PYRAMID in layer.name)
