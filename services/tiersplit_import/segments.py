"""The segments of plans, cut from the canonical model and put into its bundle: as they are, or in a quantised form."""

from collections.abc import Sequence
from pathlib import Path

import onnx

from tiersplit_bundle import Blob, Bundle, extend, media
from tiersplit_core.planning.segments import SegmentSpec
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.cutter import Cutter, segment_blob
from tiersplit_import.evaluation import statistics_of
from tiersplit_import.run_forms import VariantCutter


def materialise(bundle_path: str | Path, segments: Sequence[SegmentSpec]) -> Bundle:
    """Cut `segments` and add those that the bundle does not hold yet.

    What runs as it is has the model's own blobs as its weights; a quantised form brings its own.

    Args:
        bundle_path: the bundle; readers of it are not disturbed.
        segments: what is cut.

    Returns:
        The bundle with the segments in it.

    Raises:
        BundleError: the bundle is damaged, or has no statistics for a quantised form.
        GraphError: a segment is no legal cut.
    """
    bundle = Bundle.open(bundle_path)
    blobs = missing_segments(bundle, segments)
    return extend(bundle, blobs) if blobs else bundle


def missing_segments(bundle: Bundle, segments: Sequence[SegmentSpec]) -> list[Blob]:
    """The blobs of those `segments` that the bundle does not hold yet, weights before what reads them.

    Errors as `materialise`.
    """
    cutter = Cutter(onnx.load(str(bundle.model_path), load_external_data=False), bundle.graph)
    blobs = [_blob(cutter, segment) for segment in segments if segment.form is RunForm.FLOAT]
    held = {(entry.digest, entry.annotations.get(media.SEGMENT_ID)) for entry in bundle.layers}
    missing = [blob for blob in blobs if (blob.digest, blob.annotations[media.SEGMENT_ID]) not in held]
    return [*missing, *_missing_variants(bundle, cutter, segments)]


def _blob(cutter: Cutter, segment: SegmentSpec) -> Blob:
    return segment_blob(segment.id, segment.layers, *cutter.cut(segment))


def _missing_variants(bundle: Bundle, cutter: Cutter, segments: Sequence[SegmentSpec]) -> list[Blob]:
    """A variant's id says what it is of which model: one that is there is not quantised again, which takes long."""
    held = {segment.id for segment in bundle.segments}
    missing = [segment for segment in segments if segment.form is not RunForm.FLOAT and segment.id not in held]
    if not missing:
        return []
    variants = VariantCutter(cutter, statistics_of(bundle), bundle.model_path.parent)
    return [blob for segment in missing for blob in variants.blobs(segment)]
