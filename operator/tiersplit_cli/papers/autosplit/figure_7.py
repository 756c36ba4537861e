"""Figure 7 and section 5.4: ResNet-50 at AUTO-SPLIT's split 12 and QDMP's split 53, at five settings of bits."""

from collections.abc import Iterator
from dataclasses import replace

from tiersplit_cli.papers.autosplit.evaluation import Evaluated, evaluated, head_up_to
from tiersplit_cli.papers.autosplit.search import NOT_TRAINED, chosen, reference_error
from tiersplit_cli.papers.autosplit.simulated import seconds_of, simulated
from tiersplit_cli.papers.autosplit.table_2 import memory_of
from tiersplit_cli.papers.rows import Row, mebibytes, percent
from tiersplit_core.planning.planner import solve

_ID = "autosplit/figure-7"
_MODEL, _PRINTED, _EARLY, _LATE = "resnet50", 12, 14, 53
"""Split 12 as printed lies inside a block; the block's end, 14 in table 10's numbering and 12 where projections do not
count, is the reading with which the paper's percentages agree."""
SETTINGS = ((16, 16), (8, 8), (8, 1), (4, 1), (2, 1))
"""Bits of weights and activations, and on the link. The paper names the first three; "the model size is further
reduced" in the last two."""
_CLAIMS = {(16, 16): "split 53 81% less", (8, 8): "split 53 less", (8, 1): "split 12 7% less"}
_CLOSE = (
    "at one bit the link hardly matters and the accelerators decide: an edge that multiplies a fifth slower makes "
    "split 12 the faster one"
)
_THREE = (
    "split 53 is the last layer, whose result need not travel; 3 is near the ratio 2.7 of split 12's 401,408 elements "
    "to the image's 150,528, and 4 is that to the 100,352 of split 52"
)


def rows() -> list[Row]:
    """Latency and memory of both splits at each setting, and what crosses the link."""
    found = {setting: (at_split(_EARLY, *setting), at_split(_LATE, *setting)) for setting in SETTINGS}
    by_setting = [row for setting, pair in found.items() for row in _rows_at(setting, *pair)]
    return [*by_setting, _sent(found[SETTINGS[0]][0]), _smaller(*found[8, 1])]


def at_split(split: int, bits: int, sent_bits: int) -> Evaluated:
    """ResNet-50 divided behind a layer of table 10's numbering."""
    on = simulated(_MODEL)
    return evaluated(on, head_up_to(on, on.index, split), bits, sent_bits)


def _rows_at(setting: tuple[int, int], early: Evaluated, late: Evaluated) -> Iterator[Row]:
    name, inside = f"W{setting[0]}A{setting[0]}-T{setting[1]}", at_split(_PRINTED, *setting)
    reading = f"12 is read as the end of its block; inside the block, whose input crosses too: {_faster(inside, late)}"
    note = f"{_CLOSE}. {reading}" if setting[1] == 1 else reading
    quantity = f"{name}: latency at splits 12 and {_LATE}"
    yield Row(f"{_ID}/{name}/latency", quantity, _CLAIMS.get(setting, "bars"), _faster(early, late), note=note)
    ratio = late.memory_bytes / early.memory_bytes
    sizes = f"{mebibytes(early.memory_bytes)} and {mebibytes(late.memory_bytes)}, {ratio:.1f}×"
    yield Row(f"{_ID}/{name}/memory", f"{name}: memory at splits 12 and {_LATE}", "orders of magnitude", sizes)


def _faster(early: Evaluated, late: Evaluated) -> str:
    faster = _LATE if early.seconds > late.seconds else 12
    less = 1 - min(early.seconds, late.seconds) / max(early.seconds, late.seconds)
    return f"split {faster} {percent(less)} less ({_milliseconds(early)} and {_milliseconds(late)})"


def _milliseconds(found: Evaluated) -> str:
    return f"{1e3 * found.seconds:.0f} ms"


def _sent(early: Evaluated) -> Row:
    ours = f"{early.sent_elements:,} elements against none"
    return Row(f"{_ID}/transmission", f"sent at split 12 over split {_LATE}", "≈ 3×", ours, note=_THREE)


def _smaller(early: Evaluated, late: Evaluated) -> Row:
    return Row(
        f"{_ID}/smaller",
        f"memory at split {_LATE} over that at split 12, both at the same bits",
        "20× (section 5.4), 13.9× (table 2: 12.5 and 0.9 MB at 4 bits)",
        f"{late.memory_bytes / early.memory_bytes:.1f}×",
        note="the two figures of the paper do not agree; ours is near table 2's",
    )


def section_rows() -> list[Row]:
    """Section 5.4: AUTO-SPLIT against QDMP with mixed precision at the same error."""
    on, found = simulated(_MODEL), chosen(_MODEL)
    mixed = solve(replace(on.problem, max_distortion=reference_error(on)), "qdmp-mixed")
    faster = 1 - found.objective_s / seconds_of(mixed)
    smaller = memory_of(mixed) / found.memory_bytes
    whole = "QDMP's split is the whole network here, AUTO-SPLIT's own lies behind the stem"
    note = f"{whole}; figure 7 compares the paper's splits. {NOT_TRAINED}"
    what = "ResNet-50, AUTO-SPLIT against QDMP + mixed precision"
    return [
        Row("autosplit/section-5.4/latency", f"{what}: lower latency", "7%", percent(faster), False, note),
        Row("autosplit/section-5.4/memory", f"{what}: smaller edge memory", "20×", f"{smaller:.1f}×", False, note),
    ]
