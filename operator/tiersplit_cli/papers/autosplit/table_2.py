"""Table 2: split index and memory of the edge for AUTO-SPLIT, QDMP_E and QDMP_E + U4 (§5.4).

Its MB are MiB of weights and activations together, equation 3's M^w + M^a: so counted, GoogLeNet's 3.5, YOLOv3's 118
and 13.3, tiny's 8.8 and 4.44 and YOLOv3-SPP's 22.2 come out of the layer tables. Splits count convolutions, also in
networks of the YOLO family.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import geometric_mean

from tiersplit_cli.papers.autosplit.evaluation import evaluated, head_up_to
from tiersplit_cli.papers.autosplit.published import TABLE_2, Sizes
from tiersplit_cli.papers.autosplit.search import NOT_TRAINED, chosen, last_layer
from tiersplit_cli.papers.autosplit.simulated import EDGE, FAST_EDGE, simulated
from tiersplit_cli.papers.numbering import convolution_index
from tiersplit_cli.papers.rows import Row, mebibytes
from tiersplit_core.planning.solution import Solution

_ID = "autosplit/2"
_ORIGINAL, _U4 = 16, 4
_SLIPS = {
    "googlenet/qdmp-e-u4": "16 to 4 bits is a ratio of 4; the paper's 8 between 3.5 and 0.44 fits 2 bits",
    "yolov3_spp/autosplit": (
        "printed: split 1 in table 2, 33 in appendix B. Split 1 sends 692,224 bytes at 2 bits, more than the input's "
        "519,168, so equation 6 rules it out; split 33 needs 13.3 MiB at 8 bits, YOLOv3's figure: 1 and 1.3 look like "
        "33 and 13.3 with digits lost"
    ),
    "yolov3_spp/qdmp-e": "the paper's own 22.2 at 4 bits makes 88.8 at 16: 99 is that of one convolution later",
    "resnet50/autosplit": "the cut lies inside a block, whose input must be kept and sent, too",
}

_DOWNSAMPLED = "the first layer at an eighth of the image's size; what follows costs this edge more than its bytes save"
_WHY = {
    "googlenet": "this edge runs it all in 15% of CLOUD-ONLY's time, so only the classifier is left to the cloud",
    "resnet50": "the stem's 200,704 pooled elements are half of the 401,408 behind the block of split 12",
    "yolov3_spp": _DOWNSAMPLED,
    "yolov3_tiny": "edge-only at this E; behind row 7, convolution 3, at E below D(U8) and from 86 D(U8) on",
    "yolov3": _DOWNSAMPLED,
}


@dataclass(frozen=True, slots=True)
class OwnHeads:
    """What this program keeps on the edge: where each head ends, and bytes of weights and activations."""

    split: str
    size: int
    qdmp_split: str
    qdmp: int
    qdmp_u4: int


def rows() -> list[Row]:
    """The paper's heads measured here, this program's own heads, and the geometric means of both."""
    own = {model: own_heads(model) for model in TABLE_2}
    found = [row for model, sizes in TABLE_2.items() for row in _of_papers_heads(model, sizes)]
    found += [row for model, heads in own.items() for row in _of_own_heads(model, heads)]
    return [*found, *_means(own.values())]


def own_heads(model: str) -> OwnHeads:
    """The heads of AUTO-SPLIT at the reference error, QDMP_E and QDMP_E + U4."""
    on, found = simulated(model), chosen(model)
    numbers, qdmp = convolution_index(on.graph), on.solved("qdmp-e")
    head = qdmp.plan.layers_on(EDGE) if qdmp.plan else ()
    return OwnHeads(
        split=numbered(last_layer(on, found), numbers),
        size=found.memory_bytes,
        qdmp_split=numbered(head[-1] if head else None, numbers),
        qdmp=memory_of(qdmp),
        qdmp_u4=memory_of(on.solved("qdmp-e-u4")),
    )


def memory_of(solution: Solution) -> int:
    """Bytes that a plan needs on the edge."""
    return sum(stage.memory_bytes for stage in solution.stages if stage.tier == EDGE)


def numbered(layer: str | None, numbers: Mapping[str, int]) -> str:
    """A layer's number and name."""
    return "none (cloud-only)" if layer is None else f"{numbers[layer]} ({layer})"


def _of_papers_heads(model: str, paper: Sizes) -> Iterator[Row]:
    on = simulated(model)
    cases = (
        ("autosplit", f"AUTO-SPLIT, split {paper.split}, {paper.bits} bits", paper.split, paper.bits, paper.size),
        ("qdmp-e", f"QDMP_E, split {paper.qdmp_split}, 16 bits", paper.qdmp_split, _ORIGINAL, paper.qdmp),
        ("qdmp-e-u4", f"QDMP_E + U4, split {paper.qdmp_split}", paper.qdmp_split, _U4, paper.qdmp_u4),
    )
    for what, quantity, split, bits, size in cases:
        tiers = head_up_to(on, convolution_index(on.graph), split)
        ours = evaluated(on, tiers, bits, bits).memory_bytes
        note = _SLIPS.get(f"{model}/{what}", "")
        yield Row(f"{_ID}/{model}/{what}", f"{model}: MB of {quantity}", f"{size:g}", mebibytes(ours), note=note)


def _of_own_heads(model: str, own: OwnHeads) -> Iterator[Row]:
    paper = TABLE_2[model]
    split = f"{paper.split} ({paper.size:g} MB)"
    yield Row(
        f"{_ID}/{model}/own/autosplit",
        f"{model}: AUTO-SPLIT's own split and MB",
        split,
        f"{own.split}, {mebibytes(own.size)}",
        comparable=False,
        note=f"{_WHY[model]}. {NOT_TRAINED}",
    )
    yield Row(
        f"{_ID}/{model}/own/qdmp-e",
        f"{model}: QDMP_E's own split and MB",
        f"{paper.qdmp_split} ({paper.qdmp:g} MB)",
        f"{own.qdmp_split}, {mebibytes(own.qdmp)}",
        note=FAST_EDGE if not own.qdmp_split.startswith(f"{paper.qdmp_split} ") else "",
    )


def _means(own: Iterable[OwnHeads]) -> Iterator[Row]:
    heads = [one for one in own if one.size]
    for what, printed, of_paper, of_own in _RATIOS:
        read = geometric_mean(of_paper(sizes) for sizes in TABLE_2.values())
        yield Row(
            f"{_ID}/mean/{what}/printed",
            f"geometric mean of table 2's own figures, {what} over AUTO-SPLIT",
            f"{printed}×",
            f"{read:.1f}×",
        )
        yield Row(
            f"{_ID}/mean/{what}",
            f"geometric mean of our heads, {what} over AUTO-SPLIT",
            f"{printed}×",
            f"{geometric_mean(of_own(one) for one in heads):.1f}×",
            comparable=False,
            note=NOT_TRAINED,
        )


_RATIOS: tuple[tuple[str, float, Callable[[Sizes], float], Callable[[OwnHeads], float]], ...] = (
    ("QDMP_E", 14.7, lambda paper: paper.qdmp / paper.size, lambda own: own.qdmp / own.size),
    ("QDMP_E+U4", 3.1, lambda paper: paper.qdmp_u4 / paper.size, lambda own: own.qdmp_u4 / own.size),
)
