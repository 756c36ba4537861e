"""Table 2: split index and memory of the edge for AUTO-SPLIT, QDMP_E and QDMP_E + U4 (§5.4).

Its MB are MiB of weights and activations together, equation 3's M^w + M^a: so counted, GoogLeNet's 3.5, YOLOv3's 118
and 13.3, tiny's 8.8 and 4.44 and YOLOv3-SPP's 22.2 come out of the layer tables. Splits count convolutions, also in
networks of the YOLO family.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import geometric_mean

from tiersplit_cli.papers.autosplit.evaluation import evaluated, head_up_to
from tiersplit_cli.papers.autosplit.published import TABLE_2, TABLE_2_READ, Sizes
from tiersplit_cli.papers.autosplit.search import NOT_TRAINED, chosen, frontier, last_layer
from tiersplit_cli.papers.autosplit.simulated import EDGE, FAST_EDGE, Simulated, simulated
from tiersplit_cli.papers.numbering import convolution_index
from tiersplit_cli.papers.rows import Row, mebibytes
from tiersplit_core.planning.autosplit.solutions import Candidate
from tiersplit_core.planning.solution import Solution

_ID = "autosplit/2"
_ORIGINAL, _U4 = 16, 4
_SLIPS = {
    "googlenet/qdmp-e-u4": "16 to 4 bits is a ratio of 4; the paper's 8 between 3.5 and 0.44 fits 2 bits",
    "yolov3_spp/autosplit": (
        "printed: split 1 in table 2, 33 in appendix B. At 2 bits the head of split 1 has the printed size, but sends "
        "692,224 bytes, more than the input's 519,168, so equation 6 rules it out; 33 is the sensible reading"
    ),
    "yolov3_spp/qdmp-e": "the paper's own 22.2 at 4 bits makes 88.8 at 16: 99 is that of one convolution later",
    "resnet50/autosplit": "the cut lies inside a block, whose input must be kept and sent, too",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """Another reading of a figure of table 2: the head that ends with a convolution, at some bits.

    Attributes:
        key: the row's name.
        what: the column that is read otherwise.
        split: the head's last convolution.
        bits: of weights and activations.
        paper: what the paper prints.
        note: why it can be read so.
    """

    key: str
    what: str
    split: int
    bits: int
    paper: str
    note: str


_READINGS = {
    "googlenet": Reading("qdmp-e-u4/2-bit", "QDMP_E + U4", 18, 2, "0.44", "the paper's 0.44, read as 2 bits"),
    "yolov3_spp": Reading(
        "autosplit/33", "AUTO-SPLIT", 33, 8, "1.3", "split 33 of appendix B: YOLOv3's 13.3, of which 1.3 lacks a digit"
    ),
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
class Heads:
    """Bytes or MB on the edge, weights and activations together, by the three methods of table 2."""

    autosplit: float
    qdmp: float
    qdmp_u4: float


def rows() -> list[Row]:
    """The paper's heads measured here, this program's own heads, and the geometric means of both."""
    found = [row for model, sizes in TABLE_2.items() for row in _of_papers_heads(model, sizes)]
    found += [row for model, sizes in TABLE_2.items() for row in _of_own_heads(model, sizes)]
    return [*found, *_means()]


def own_heads(model: str) -> Heads:
    """Bytes of AUTO-SPLIT at the reference error, QDMP_E and QDMP_E + U4."""
    on = simulated(model)
    return Heads(chosen(model).memory_bytes, memory_of(on.solved("qdmp-e")), memory_of(on.solved("qdmp-e-u4")))


def papers_heads(model: str, paper: Sizes) -> Heads:
    """Bytes of the heads that end where the paper's do."""
    return Heads(
        head_bytes(model, paper.split, paper.bits),
        head_bytes(model, paper.qdmp_split, _ORIGINAL),
        head_bytes(model, paper.qdmp_split, _U4),
    )


def head_bytes(model: str, split: int, bits: int) -> int:
    """Bytes of the head that ends with a convolution, counted from 0, at so many bits throughout."""
    on = simulated(model)
    return evaluated(on, head_up_to(on, convolution_index(on.graph), split), bits, bits).memory_bytes


def memory_of(solution: Solution) -> int:
    """Bytes that a plan needs on the edge."""
    return sum(stage.memory_bytes for stage in solution.stages if stage.tier == EDGE)


def _of_papers_heads(model: str, paper: Sizes) -> Iterator[Row]:
    ours = papers_heads(model, paper)
    cases = (
        ("autosplit", f"AUTO-SPLIT, split {paper.split}, {paper.bits} bits", paper.size, ours.autosplit),
        ("qdmp-e", f"QDMP_E, split {paper.qdmp_split}, 16 bits", paper.qdmp, ours.qdmp),
        ("qdmp-e-u4", f"QDMP_E + U4, split {paper.qdmp_split}", paper.qdmp_u4, ours.qdmp_u4),
    )
    for what, quantity, size, found in cases:
        note = _SLIPS.get(f"{model}/{what}", "")
        yield Row(f"{_ID}/{model}/{what}", f"{model}: MB of {quantity}", f"{size:g}", mebibytes(found), note=note)
    if model in _READINGS:
        yield _read(model, _READINGS[model])


def _read(model: str, other: Reading) -> Row:
    quantity = f"{model}: MB of {other.what}, split {other.split}, {other.bits} bits, the other reading"
    found = mebibytes(head_bytes(model, other.split, other.bits))
    return Row(f"{_ID}/{model}/{other.key}", quantity, other.paper, found, note=other.note)


def _of_own_heads(model: str, paper: Sizes) -> Iterator[Row]:
    on, own = simulated(model), own_heads(model)
    numbers, qdmp = convolution_index(on.graph), on.solved("qdmp-e")
    split = _ending(last_layer(on, chosen(model)), numbers)
    yield Row(
        f"{_ID}/{model}/own/autosplit",
        f"{model}: AUTO-SPLIT's own split and MB",
        f"{paper.split} ({paper.size:g} MB)",
        f"{split}, {mebibytes(own.autosplit)}",
        comparable=False,
        note=f"{_WHY[model]}; {_swept(on, TABLE_2_READ[model].split, frontier(model))}. {NOT_TRAINED}",
    )
    head = qdmp.plan.layers_on(EDGE) if qdmp.plan else ()
    qdmp_split = _ending(head[-1] if head else None, numbers)
    yield Row(
        f"{_ID}/{model}/own/qdmp-e",
        f"{model}: QDMP_E's own split and MB",
        f"{paper.qdmp_split} ({paper.qdmp:g} MB)",
        f"{qdmp_split}, {mebibytes(own.qdmp)}",
        note="" if qdmp_split.startswith(f"{paper.qdmp_split} ") else FAST_EDGE,
    )


def _ending(layer: str | None, numbers: Mapping[str, int]) -> str:
    return "none (cloud-only)" if layer is None else f"{numbers[layer]} ({layer})"


def _swept(on: Simulated, papers: int, found: Iterable[Candidate]) -> str:
    """Behind which convolutions heads end over all E, and at which E behind the paper's."""
    numbers, unit = convolution_index(on.graph), on.error_of(8)
    ends = {numbers[name]: one.distortion / unit for one in found if (name := last_layer(on, one))}
    own = f"from E = {ends[papers]:.3g} D(U8)" if papers in ends else "at no E"
    return f"over all E heads end with convolution {', '.join(map(str, sorted(ends)))}, with the paper's {papers} {own}"


def _means() -> Iterator[Row]:
    printed = "YOLOv3-SPP's split as table 2 prints it"
    read = "YOLOv3-SPP's split read as 33"
    lower = "with 13.3 MB in place of 1.3 the mean falls: the paper's uses the 1.3"
    yield from _ratios("printed", f"table 2's own figures, {printed}", map(_printed, TABLE_2.values()))
    yield from _ratios("printed-33", f"table 2's own figures, {read}", map(_printed, TABLE_2_READ.values()), note=lower)
    yield from _ratios("heads", f"the paper's heads here, {printed}", _measured(TABLE_2))
    yield from _ratios("heads-33", f"the paper's heads here, {read}", _measured(TABLE_2_READ), note=lower)
    own = (heads for heads in map(own_heads, TABLE_2) if heads.autosplit)
    yield from _ratios("own", "our own heads", own, comparable=False, note=NOT_TRAINED)


def _printed(paper: Sizes) -> Heads:
    return Heads(paper.size, paper.qdmp, paper.qdmp_u4)


def _measured(paper: Mapping[str, Sizes]) -> Iterator[Heads]:
    return (papers_heads(model, sizes) for model, sizes in paper.items())


def _ratios(key: str, what: str, heads: Iterable[Heads], comparable: bool = True, note: str = "") -> Iterator[Row]:
    kept = list(heads)
    means = {
        "QDMP_E": ("14.7×", geometric_mean(one.qdmp / one.autosplit for one in kept)),
        "QDMP_E+U4": ("3.1×", geometric_mean(one.qdmp_u4 / one.autosplit for one in kept)),
    }
    for method, (paper, ours) in means.items():
        quantity = f"geometric mean of {method} over AUTO-SPLIT: {what}"
        yield Row(f"{_ID}/mean/{method}/{key}", quantity, paper, f"{ours:.1f}×", comparable, note)
