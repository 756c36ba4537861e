"""The route that stages are told: the model, all segments, all plans, and where each tier is reached."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import fsum

import numpy as np

from tiersplit_bundle import media
from tiersplit_bundle.bundle import Bundle
from tiersplit_control.catalogue import Catalogue
from tiersplit_control.intent import Intent
from tiersplit_core.errors import OperationError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_core.planning.look_up import SurfaceEntry
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import crossing_bits
from tiersplit_wire.v1 import route_pb2 as pb

_DATATYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def make_route(
    intent: Intent,
    bundle: Bundle,
    catalogue: Catalogue,
    addresses: Mapping[str, Sequence[str]],
    max_batch: int,
    *,
    reference: str = "",
) -> pb.Route:
    """The route, without epoch, selected plan, probe budget and guidance: those change while it serves.

    Args:
        intent: what the manifest asks for.
        bundle: with the segments of all plans; only its manifest and graph are read.
        catalogue: the plans.
        addresses: HOST:PORT where the tier before each tier dials it, each perhaps a name with several addresses; the
            first tier has none.
        max_batch: largest batch that the head takes.
        reference: `oci://HOST/REPOSITORY@DIGEST` that stages pull blobs from; empty where these lie beside them.

    Raises:
        OperationError: the bundle lacks a segment of a plan.
    """
    route = pb.Route(deployment=intent.name, model=_model(intent.name, bundle, max_batch), bundle=reference)
    route.segments.extend(_segments(bundle, catalogue))
    compressed = () if intent.encoding == "raw" else {name for segment in route.segments for name in segment.inputs}
    for entry in catalogue.surface.entries:
        crossings = _crossings(catalogue, entry.plan, intent.encoding, compressed)
        route.plans.append(_plan(bundle, catalogue, entry, crossings))
    for tier in intent.tier_names:
        route.tiers.append(pb.TierEndpoints(tier=tier, addresses=addresses.get(tier, ())))
    route.golden_blobs.extend(entry.digest for entry in bundle.layers if entry.media_type == media.GOLDEN)
    route.fallback = catalogue.fallback or ""
    route.profiles.extend(_profiles(catalogue))
    route.receipts.extend(_receipts(catalogue))
    return route


def _plan(bundle: Bundle, catalogue: Catalogue, entry: SurfaceEntry, crossings: Iterable[pb.Crossing]) -> pb.RoutePlan:
    plan = entry.plan
    placed = [pb.PlanSegment(segment=segment, tier=tier) for segment, tier in catalogue.segments[plan.digest]]
    costs = [
        pb.PlanCost(batch=batch, compute_s=terms.compute_s, link_bytes=terms.link_bytes, link_trips=terms.link_trips)
        for batch, terms in sorted(entry.terms.items())
    ]
    return pb.RoutePlan(
        digest=plan.digest,
        segments=placed,
        crossings=crossings,
        costs=costs,
        golden_blobs=_golden(bundle, plan),
        bits=min((bits for pair in plan.widths.values() for bits in pair), default=0),
    )


def _golden(bundle: Bundle, plan: Plan) -> list[str]:
    """What the plan's own artefacts answered when it was rated; others answer as the model does."""
    if not plan.widths:
        return []
    try:
        return [bundle.plan_goldens[plan.digest]]
    except KeyError as error:
        raise OperationError(
            f"the bundle lacks the golden answer of plan {plan.digest}; rate its surface again"
        ) from error


def _receipts(catalogue: Catalogue) -> list[pb.ReceiptCost]:
    """Per link; each profile has what a receipt costs between two stages on its tier, half of it at either end."""
    found = []
    for source, target in pairwise(catalogue.tiers):
        ends = [catalogue.profiles[tier].serving for tier in (source, target) if tier in catalogue.profiles]
        known = [end.receipt for end in ends if end is not None]
        fixed_s, s_per_byte = (fsum(parts) / 2 for parts in ([r.fixed_s for r in known], [r.s_per_byte for r in known]))
        found.append(pb.ReceiptCost(source=source, target=target, fixed_s=fixed_s, s_per_byte=s_per_byte))
    return found


def _profiles(catalogue: Catalogue) -> list[pb.SegmentProfile]:
    """Seconds of every segment where some plan places it, at the surface's batch sizes; unknown ones are left out."""
    placed = dict.fromkeys(pair for pairs in catalogue.segments.values() for pair in pairs)
    return [
        pb.SegmentProfile(segment=segment, tier=tier, batch=batch, seconds=seconds)
        for segment, tier in placed
        for batch in catalogue.surface.batches
        if (seconds := catalogue.profiled_s(tier, segment, batch)) > 0
    ]


def _crossings(catalogue: Catalogue, plan: Plan, encoding: str, compressed: Iterable[str]) -> list[pb.Crossing]:
    """The tensors that do not travel as they are: with the plan's own bits, or `compressed`."""
    bits = crossing_bits(catalogue.graph, plan)
    names = sorted({*bits, *compressed})
    return [pb.Crossing(tensor=name, bits=bits.get(name, 0), encoding=encoding) for name in names]


def _model(name: str, bundle: Bundle, max_batch: int) -> pb.Model:
    graph = bundle.graph
    specs = {spec.name: spec for layer in graph.layers for spec in layer.tensors}
    return pb.Model(
        name=name,
        version="1",
        inputs=[_tensor(spec.name, spec) for spec in graph.inputs],
        outputs=[_tensor(key, specs[tensor]) for key, tensor in graph.output_names],
        max_batch=max_batch,
    )


def _tensor(name: str, spec: TensorSpec) -> pb.ModelTensor:
    datatype = _DATATYPES[np.dtype(spec.dtype).name]
    return pb.ModelTensor(name=name, tensor=spec.name, datatype=datatype, shape=[-1, *spec.shape[1:]])


def _segments(bundle: Bundle, catalogue: Catalogue) -> list[pb.Segment]:
    lying = {segment.id: segment for segment in bundle.segments}
    found = []
    for spec in catalogue.specs:
        segment = lying.get(spec.id)
        if segment is None:
            raise OperationError(f"the bundle lacks segment {spec.id}; cut the surface's segments into it again")
        found.append(
            pb.Segment(
                id=segment.id,
                blob=segment.digest,
                weights=segment.weights,
                inputs=segment.inputs,
                outputs=segment.outputs,
            )
        )
    return found
