"""Table 10: potential splits towards the end of ResNet-50."""

from collections.abc import Iterator

import numpy as np

from tiersplit_cli.papers.autosplit.evaluation import evaluated
from tiersplit_cli.papers.autosplit.simulated import simulated
from tiersplit_cli.papers.numbering import INPUT_INDEX
from tiersplit_cli.papers.rows import Row

_MODEL, _ID = "resnet50", "autosplit/10"
_PRINTED = {
    "layer4.0.conv3": (46, "100,352", "-5076"),
    "layer4.1.conv3": (49, "100,352", "-5076"),
    "layer4.2.conv3": (52, "100,352", "-5076"),
    "fc": (53, "1,000", "-149528"),
}
"""Index, volume and volume difference by layer."""
_SLIP = "the paper's own volumes give -50176: a digit is missing in print"
_ENDS = {46: "layer4.0.relu", 49: "layer4.1.relu", 52: "layer4.2.relu"}
"""Where splits of equal volume end: behind the sum of their block, before the pooling."""


def rows() -> list[Row]:
    """Index and volume of the last layers and of the image, their differences, and which split is the fastest."""
    graph = simulated(_MODEL).graph
    image = sum(tensor.elements for tensor in graph.inputs)
    return [
        *(row for name in _PRINTED for row in _layer(name, image)),
        Row(f"{_ID}/input/index", "index of the image", "-1", str(INPUT_INDEX)),
        Row(f"{_ID}/input/volume", "volume of the image", "150,528", f"{image:,}"),
        *_choices(),
    ]


def _layer(name: str, image: int) -> Iterator[Row]:
    on, (index, volume, difference) = simulated(_MODEL), _PRINTED[name]
    elements, note = on.graph[name].elements, _SLIP if difference == "-5076" else ""
    yield Row(f"{_ID}/{name}/index", f"index of {name}", str(index), str(on.index[name]))
    yield Row(f"{_ID}/{name}/volume", f"volume of {name}", volume, f"{elements:,}")
    yield Row(f"{_ID}/{name}/difference", f"{name} − image", difference, str(elements - image), note=note)


def _choices() -> Iterator[Row]:
    """Which of three splits with equal volumes is the fastest (appendix B)."""
    seconds = {split: _seconds(split, 16) for split in _ENDS}
    quantity = "fastest of splits 46, 49 and 52 without quantisation"
    yield Row(f"{_ID}/fastest/16", quantity, "46", str(min(seconds, key=lambda split: seconds[split])))
    early, late = _seconds(46, 8), _seconds(49, 4)
    ours = f"{49 if late < early else 46}: {1e3 * late:.0f} ms behind 49, {1e3 * early:.0f} ms behind 46"
    quantity = "fastest of splits 46 and 49 where 46 is sent at 8 bits and 49 at 4"
    yield Row(f"{_ID}/fastest/4", quantity, "49", ours, note="the bits are an example: the paper says that 49 can win")


def _seconds(split: int, sent_bits: int) -> float:
    """A request's seconds with all layers up to a split on the edge, 8 bits wide unless they stay as they are."""
    on = simulated(_MODEL)
    tiers = (np.arange(len(on.graph.layers)) > on.graph.index[_ENDS[split]]).astype(np.int64)
    return evaluated(on, tiers, max(8, sent_bits), sent_bits).seconds
