"""Rows of the papers' tables, each with what this program finds for the same quantity."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tiersplit_cli.papers.autosplit import tables as autosplit
from tiersplit_cli.papers.rows import Row
from tiersplit_core.errors import InputError
from tiersplit_core.graph.ir import LayerGraph


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a network: the last of its layers hands on `elements` numbers per sample."""

    name: str
    elements: int


def rows_of(paper: str, table: str | None = None) -> list[dict[str, Any]]:
    """The rows of a paper, or of one of its tables.

    Args:
        paper: a key of `TABLES`.
        table: a table of the paper; None for all.

    Raises:
        InputError: there is no such paper or table; says which there are.
    """
    known = "; ".join(f"{name}: {', '.join(tables)}" for name, tables in TABLES.items())
    if paper not in TABLES:
        raise InputError(f"no paper {paper!r} is reproduced; papers and their tables are {known}", "PAPER")
    if table is not None and table not in TABLES[paper]:
        raise InputError(f"no table {table!r} of {paper} is reproduced; there are {known}", "--table")
    chosen = [table] if table else list(TABLES[paper])
    return [asdict(row) for name in chosen for row in TABLES[paper][name]()]


def import_architecture(name: str) -> LayerGraph:
    """The layer graph of a torchvision model, with weights that do not matter for it."""
    from tiersplit_import.export import export  # noqa: PLC0415 - loads torch
    from tiersplit_import.options import ImportOptions  # noqa: PLC0415
    from tiersplit_import.pipeline import canonicalise  # noqa: PLC0415

    options = ImportOptions(random_weights=True)
    return canonicalise(export(f"torchvision.models:{name}", options), options, name).graph


def blocks_of(graph: LayerGraph, depth: int, nested: bool = False) -> tuple[Block, ...]:
    """The feature extractor's blocks: layers whose names share the first `depth` parts, as `features.2.0`.

    Args:
        graph: a network whose feature extractor is called `features`.
        depth: how many parts of a name make a block.
        nested: only blocks with modules inside, so that a stem or head of one layer is none.
    """
    last: dict[str, int] = {}
    for layer in graph.layers:
        parts = layer.name.split(".")
        if parts[0] == "features" and (len(parts) > depth or not nested):
            last[".".join(parts[:depth])] = layer.elements
    return tuple(Block(name, elements) for name, elements in last.items())


def natural_bottlenecks(blocks: Sequence[Block], input_elements: int) -> tuple[Block, ...]:
    """Blocks that hand on less than the input, c_l = |h_l| / |x| < 1 (Dynamic Split Computing, §3)."""
    return tuple(block for block in blocks if block.elements < input_elements)


def compressive_bottlenecks(bottlenecks: Sequence[Block]) -> tuple[Block, ...]:
    """Natural bottlenecks that are smaller than all before them (Dynamic Split Computing, §3)."""
    found: list[Block] = []
    for block in bottlenecks:
        if not found or block.elements < found[-1].elements:
            found.append(block)
    return tuple(found)


def _dynamic_split_computing_4() -> list[Row]:
    """Dynamic Split Computing, §4: natural bottlenecks of EfficientNets and of VGG-16."""
    rows = []
    for name, what, paper in (
        ("efficientnet_b0", "the smallest of 14 networks", "15"),
        ("efficientnet_v2_l", "the largest of 14 networks", "68"),
        ("vgg16", "VGG-16", "5"),
    ):
        found = _bottlenecks(import_architecture(name), is_chain=name == "vgg16")
        quantity = f"natural bottlenecks, {what} ({name})"
        note = f"{'layers' if name == 'vgg16' else 'blocks'} of the feature extractor; sizes need no trained weights"
        rows.append(Row(f"dynamic-split-computing/4/{name}", quantity, paper, str(len(found)), note=note))
        if name != "vgg16":
            compressive = str(len(compressive_bottlenecks(found)))
            identity = f"dynamic-split-computing/4/{name}/compressive"
            rows.append(Row(identity, f"compressive ones of {name}", "3 to 4", compressive, note=note))
    return rows


def _bottlenecks(graph: LayerGraph, is_chain: bool) -> tuple[Block, ...]:
    elements = sum(tensor.elements for tensor in graph.inputs)
    blocks = blocks_of(graph, 2) if is_chain else blocks_of(graph, 3, nested=True)
    return natural_bottlenecks(blocks, elements)


TABLES: dict[str, Mapping[str, Callable[[], list[Row]]]] = {
    "autosplit": autosplit.TABLES,
    "dynamic-split-computing": {"4": _dynamic_split_computing_4},
}
