"""One plan in a process of its own: JSON in on stdin, JSON out on stdout.

Planning takes seconds of CPU, which would stop the operator's loop, and memory that ends with the process.
"""

import base64
import json
import resource as limits
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiersplit_api.v1alpha1.loading import resource_from
from tiersplit_api.v1alpha1.model import Validation
from tiersplit_bundle.accuracies import accuracies_from_json
from tiersplit_control.intent import Intent, intent_of
from tiersplit_control.quality import Quality, quality_of
from tiersplit_control.surfaces import Settled, Waiting, replay
from tiersplit_core.errors import InfeasibleError, TiersplitError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.graph.serialization import graph_from_json
from tiersplit_core.planning.surface import Conditions, Surface, surface_to_json
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.profile.layers import TierProfile
from tiersplit_core.profile.refine import merge_segments
from tiersplit_core.quantization.json import statistics_from_json
from tiersplit_operator.plan_outcome import PlanOutcome

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What was found out about a model so far.

    Attributes:
        graph: the layer graph's JSON.
        profiles: per tier the JSON of its layers' profile, then those of segments.
        segments: digest of the ONNX file per id of a segment that was cut.
        quantization: JSON of the statistics for quantisation; empty: there are none.
        accuracies: JSON of the accuracies that were measured; empty: none was.
    """

    graph: bytes
    profiles: Mapping[str, Sequence[bytes]]
    segments: Mapping[str, str]
    quantization: bytes = b""
    accuracies: bytes = b""


def make_request(manifest: Document, known: Known) -> bytes:
    """What the process reads.

    Args:
        manifest: the resource.
        known: what planning begins with.
    """
    documents = {name: _encoded(getattr(known, name)) for name in ("graph", "quantization", "accuracies")}
    profiles = {tier: [_encoded(data) for data in found] for tier, found in known.profiles.items()}
    return json.dumps(
        {"manifest": manifest, **documents, "profiles": profiles, "segments": dict(known.segments)}
    ).encode()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> Any:
    """The JSON value; None where there is none."""
    data = base64.b64decode(text)
    return json.loads(data) if data else None


def answer(request: bytes) -> dict[str, Any]:
    """What the process writes: `surface`, `outcome` and refined `profiles`, or `error` (and `infeasible`)."""
    try:
        return _planned(json.loads(request))
    except InfeasibleError as error:
        return {"error": error.constraint, "infeasible": True}
    except TiersplitError as error:
        return {"error": str(error)}


def _planned(request: Document) -> dict[str, Any]:
    graph = graph_from_json(_decoded(request["graph"]))
    profiles = {tier: _merged(tier, found, graph) for tier, found in request["profiles"].items()}
    resource = resource_from(request["manifest"])
    intent, quality = intent_of(resource), _quality(request, resource.spec.model.validation, graph)
    found = replay(graph, profiles, request["segments"], intent, quality)
    if isinstance(found, Waiting):
        return _waiting(found)
    return _settled(found, intent, quality)


def _quality(request: Document, validation: Validation, graph: LayerGraph) -> Quality:
    statistics, accuracies = _decoded(request["quantization"]), _decoded(request["accuracies"])
    return quality_of(
        validation,
        None if statistics is None else statistics_from_json(statistics, list(graph.index)),
        None if accuracies is None else accuracies_from_json(accuracies),
    )


def _merged(tier: str, encoded: Sequence[str], graph: LayerGraph) -> TierProfile:
    """The layers' profile with the segments of all the others; names of tiers are the resource's own."""
    layers, *others = (_decoded(text) for text in encoded)
    profile = replace(profile_from_json(layers, graph), tier=tier)
    for other in others:
        measured = profile_from_json(other)
        profile = merge_segments(profile, {size: seen.segments for size, seen in measured.batches.items()})
    return profile


def _waiting(found: Waiting) -> dict[str, Any]:
    surface = found.round.surface
    outcome = PlanOutcome(
        settled=False,
        plans=len(surface.plans),
        round=found.round.number,
        uncut=len(found.work.uncut),
        unrated=len(found.work.unrated),
        unmeasured={tier: tuple(ids) for tier, ids in found.work.unmeasured.items()},
    )
    return {"surface": surface_to_json(surface), "outcome": outcome.to_text(), "profiles": {}}


def _settled(found: Settled, intent: Intent, quality: Quality) -> dict[str, Any]:
    outcome = PlanOutcome(
        settled=True,
        plans=len(found.surface.plans),
        round=found.rounds,
        off=found.off,
        base_bytes={tier: profile.base_bytes for tier, profile in found.profiles.items()},
        quantised=sum(bool(plan.widths) for plan in found.surface.plans),
        accuracy=_fastest_accuracy(found.surface, intent, quality),
        whole=quality.whole,
    )
    profiles = {tier: profile_to_json(profile) for tier, profile in found.profiles.items()}
    return {"surface": surface_to_json(found.surface), "outcome": outcome.to_text(), "profiles": profiles}


def _fastest_accuracy(surface: Surface, intent: Intent, quality: Quality) -> float | None:
    """The accuracy of the plan that is the best while links are as declared."""
    bandwidths = tuple(link.believed_bps for link in intent.links)
    plan = surface.best(Conditions(bandwidths, batch=intent.batches[0])).plan
    return quality.accuracies.get(plan.digest) if plan.widths else quality.whole


def main(arguments: Sequence[str]) -> None:
    """Plan once; the first argument bounds the process's memory in bytes."""
    limits.setrlimit(limits.RLIMIT_AS, (int(arguments[0]), int(arguments[0])))
    sys.stdout.write(json.dumps(answer(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main(sys.argv[1:])
