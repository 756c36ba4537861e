"""Cutting a bundle into chunks that fit a tier's memory, beside the bundle and only for as long as it is measured."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiersplit_bundle.bundle import Bundle
from tiersplit_core.errors import OperationError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import SegmentSpec, segments_of
from tiersplit_core.profile.chunks import chunks


def fits(graph: LayerGraph, limit_bytes: int, batch: int) -> bool:
    """Whether the whole model's weights and working set fit `limit_bytes`."""
    return len(chunks(graph, limit_bytes, batch)) <= 1


@contextmanager
def chunked(bundle: Bundle, limit_bytes: int, batch: int) -> Iterator[tuple[Bundle, tuple[str, ...]]]:
    """A twin of `bundle` whose segments are its chunks, and their ids; gone when the block ends.

    The twin's blobs are links to the bundle's own, so it needs no space of its own.

    Args:
        bundle: stays as it is.
        limit_bytes: what a chunk may hold.
        batch: the largest batch size that will be run.

    Raises:
        OperationError: this installation cannot cut models.
    """
    try:
        from tiersplit_import.segments import materialise  # noqa: PLC0415 - needs onnx, most profiles do not
    except ImportError as error:
        raise OperationError(
            "the model is larger than --memory and cutting it needs the import extra: pip install 'tiersplit[import]'"
        ) from error
    specs = _specs(bundle.graph, limit_bytes, batch)
    with tempfile.TemporaryDirectory(prefix=f".{bundle.root.name}.", dir=bundle.root.parent) as work:
        twin = Path(work) / "bundle"
        shutil.copytree(bundle.root, twin, copy_function=_link_or_copy)
        yield materialise(twin, specs), tuple(spec.id for spec in specs)


def _specs(graph: LayerGraph, limit_bytes: int, batch: int) -> tuple[SegmentSpec, ...]:
    names = {layer: f"{i:06}" for i, layers in enumerate(chunks(graph, limit_bytes, batch)) for layer in layers}
    return segments_of(graph, [Plan(names)])


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
