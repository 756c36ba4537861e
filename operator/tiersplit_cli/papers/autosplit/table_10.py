"""Table 10: potential splits towards the end of ResNet-50."""

from tiersplit_cli.papers.rows import Row
from tiersplit_core.graph.ir import LayerGraph

_VOLUMES = {
    "layer4.0.conv3": ("100,352", "-5076"),
    "layer4.1.conv3": ("100,352", "-5076"),
    "layer4.2.conv3": ("100,352", "-5076"),
    "fc": ("1,000", "-149528"),
}
_SLIP = "the paper's own volumes give -50176: a digit is missing in print"


def rows(graph: LayerGraph) -> list[Row]:
    """Volumes of the last layers and of the image, and their differences.

    Args:
        graph: ResNet-50.
    """
    image = sum(tensor.elements for tensor in graph.inputs)
    found = []
    for name, (volume, difference) in _VOLUMES.items():
        ours = graph[name].elements
        note = _SLIP if difference == "-5076" else ""
        found.append(Row(f"autosplit/10/{name}/volume", f"volume of {name}", volume, f"{ours:,}"))
        found.append(
            Row(f"autosplit/10/{name}/difference", f"{name} − image", difference, str(ours - image), note=note)
        )
    found.append(Row("autosplit/10/input/volume", "volume of the image", "150,528", f"{image:,}"))
    return found
