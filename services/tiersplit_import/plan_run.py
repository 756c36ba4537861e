"""Running a plan as its stages do: its own segments one after another, narrow values rounded on their way to a tier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tiersplit_bundle import Bundle, BundleSegment
from tiersplit_core.codec.quantize import QUANTISED_BITS, dequantize, quantize
from tiersplit_core.errors import BundleError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import SegmentSpec, crossing_bits, plan_segments
from tiersplit_core.quantization.packed import MAGIC, PACKED_NAME, is_packed, unpack_weights
from tiersplit_import.net import Array
from tiersplit_import.probe import open_session, run, session_options

Opener = Callable[[BundleSegment], ort.InferenceSession]
"""Gives a session of a segment, which is run at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """One segment of a plan.

    Attributes:
        segment: what is run.
        arriving: bits per element of those of its inputs that reach it over a link with fewer bits than they have.
    """

    segment: BundleSegment
    arriving: tuple[tuple[str, int], ...]


class PlanRun:
    """Computes what a plan answers, with the very files that get deployed for it.

    Args:
        bundle: holds the segments.
        plan: what is run.
        specs: the segments of its surface.

    Attributes:
        steps: its segments in running order; plans whose steps are equal compute the same.

    Raises:
        BundleError: a segment was not cut.
        GraphError: the segments were made for other plans.
    """

    def __init__(self, bundle: Bundle, plan: Plan, specs: Sequence[SegmentSpec]) -> None:
        known, bits = {segment.id: segment for segment in bundle.segments}, crossing_bits(bundle.graph, plan)
        self._results = bundle.graph.output_names
        made_on: dict[str, str] = {}
        steps = []
        for name, tier in plan_segments(plan, specs):
            if name not in known:
                raise BundleError(f"the segment {name} was not cut", bundle.digest)
            foreign = [value for value in known[name].inputs if made_on.get(value, tier) != tier]
            steps.append(Step(known[name], tuple((value, bits[value]) for value in foreign if value in bits)))
            made_on |= dict.fromkeys(known[name].outputs, tier)
        self.steps = tuple(steps)

    def __call__(self, feeds: Mapping[str, Array], opener: Opener) -> dict[str, Array]:
        """The plan's answer by the caller's names, to a batch of inputs."""
        values = dict(feeds)
        for i, step in enumerate(self.steps):
            given = {name: values[name] for name in step.segment.inputs}
            given |= {name: rounded(given[name], bits) for name, bits in step.arriving}
            found = run(opener(step.segment), list(step.segment.outputs), given)
            values |= zip(step.segment.outputs, (np.asarray(value) for value in found), strict=True)
            values = {name: value for name, value in values.items() if name in self._needed_after(i)}
        return {key: values[tensor] for key, tensor in self._results}

    def _needed_after(self, i: int) -> set[str]:
        read = (step.segment.inputs for step in self.steps[i + 1 :])
        return {tensor for _, tensor in self._results}.union(*read)


def rounded(value: Array, bits: int) -> Array:
    """What arrives where each sample is sent with `bits` bits per element, as a frame of its own."""
    if bits not in QUANTISED_BITS or value.dtype.kind != "f":
        return value
    sent = [(row, quantize(row, bits)) for row in value]
    rows = [row if found is None else dequantize(found, value.dtype) for row, found in sent]
    return np.stack(rows).reshape(value.shape)


def open_segment(bundle: Bundle, segment: BundleSegment) -> ort.InferenceSession:
    """A session of a segment in any form.

    Raises:
        BundleError: a blob is missing or damaged.
        ModelError: ONNX Runtime does not take it.
        StatisticsError: packed weights are malformed.
    """
    options = session_options()
    blobs = [bundle.blob_path(digest) for digest in segment.weights]
    packed = [(f"{PACKED_NAME}{blob.name}", blob.read_bytes()) for blob in blobs if _is_packed(blob)]
    if packed:
        values = [ort.OrtValue.ortvalue_from_numpy(unpack_weights(data)) for _, data in packed]
        options.add_external_initializers([name for name, _ in packed], values)
    return open_session(str(bundle.segment_path(segment)), options)


def _is_packed(blob: Path) -> bool:
    with blob.open("rb") as file:
        return is_packed(file.read(len(MAGIC)))
