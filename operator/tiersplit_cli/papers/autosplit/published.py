"""What AUTO-SPLIT prints about its nine networks."""

from dataclasses import dataclass

from tiersplit_core.planning.guidelines import Outcome

OUTCOMES = {
    "resnet18": Outcome.EDGE_ONLY,
    "resnet50": Outcome.SPLIT,
    "resnext50_32x4d": Outcome.CLOUD_ONLY,
    "mobilenet_v2": Outcome.EDGE_ONLY,
    "mnasnet1_0": Outcome.EDGE_ONLY,
    "googlenet": Outcome.SPLIT,
    "yolov3_tiny": Outcome.SPLIT,
    "yolov3": Outcome.SPLIT,
    "yolov3_spp": Outcome.SPLIT,
}
"""Section 5.3 and figure 6, at 3 Mbps."""

MODELS = tuple(OUTCOMES)


@dataclass(frozen=True, slots=True)
class Sizes:
    """A row of table 2: split index and MB on the edge for AUTO-SPLIT and QDMP_E, and MB of QDMP_E + U4.

    Attributes:
        split: AUTO-SPLIT's split.
        size: its MB.
        bits: the width at which the head of that split needs these MB.
        qdmp_split: the split of QDMP_E.
        qdmp: its MB.
        qdmp_u4: MB of the same head at 4 bits.
    """

    split: int
    size: float
    bits: int
    qdmp_split: int
    qdmp: float
    qdmp_u4: float


TABLE_2 = {
    "googlenet": Sizes(18, 0.4, 2, 18, 3.5, 0.44),
    "resnet50": Sizes(12, 0.9, 4, 53, 50, 12.5),
    "yolov3_spp": Sizes(1, 1.3, 2, 52, 99, 22.2),
    "yolov3_tiny": Sizes(7, 8.8, 8, 7, 18.2, 4.44),
    "yolov3": Sizes(33, 13.3, 8, 58, 118, 29.6),
}
TABLE_2_READ = {**TABLE_2, "yolov3_spp": Sizes(33, 13.3, 8, 52, 99, 22.2)}
"""The same with YOLOv3-SPP's split as appendix B has it."""
