"""Whether the segments that were cut compute, one after another, what the whole model computes."""

from collections.abc import Sequence

import numpy as np

from tiersplit_bundle import Bundle, BundleSegment
from tiersplit_core.errors import BundleError
from tiersplit_import.net import Array
from tiersplit_import.probe import open_session, run
from tiersplit_import.segments import SegmentSpec
from tiersplit_import.verify import Difference, compare


def check_chain(bundle: Bundle, segments: Sequence[SegmentSpec]) -> Difference:
    """Run `segments` on the golden input and compare with the golden output.

    Args:
        bundle: holds them, their weights and the golden pair.
        segments: in a topological order; together they run each layer once.

    Returns:
        The largest difference.

    Raises:
        BundleError: a segment is missing.
        ModelError: they compute something else.
    """
    known = {segment.id: segment for segment in bundle.segments}
    for spec in segments:
        if spec.id not in known:
            raise BundleError(f"the segment {spec.id} was not cut", bundle.digest)
    values, expected = bundle.golden()
    found = _run(bundle, [known[spec.id] for spec in segments], values)
    wanted = [expected[key] for key, _ in bundle.graph.output_names]
    return compare(wanted, [found[tensor] for _, tensor in bundle.graph.output_names], list(expected))


def _run(bundle: Bundle, segments: Sequence[BundleSegment], values: dict[str, Array]) -> dict[str, Array]:
    """The tensors that are left at the end; one segment's session and the tensors still needed are held at a time."""
    left = {tensor for _, tensor in bundle.graph.output_names}
    for i, segment in enumerate(segments):
        session = open_session(str(bundle.segment_path(segment)))
        found = run(session, list(segment.outputs), {name: values[name] for name in segment.inputs})
        values |= zip(segment.outputs, (np.asarray(value) for value in found), strict=True)
        needed = left.union(*(later.inputs for later in segments[i + 1 :]))
        values = {name: value for name, value in values.items() if name in needed}
    return values
