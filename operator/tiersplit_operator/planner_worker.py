"""One plan in a process of its own: JSON in on stdin, JSON out on stdout.

Planning takes seconds of CPU, which would stop the operator's loop, and memory that ends with the process.
"""

import base64
import json
import resource as limits
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tiersplit_api.v1alpha1.loading import resource_from
from tiersplit_control.intent import intent_of
from tiersplit_control.surfaces import Settled, Waiting, replay
from tiersplit_core.errors import InfeasibleError, TiersplitError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.graph.serialization import graph_from_json
from tiersplit_core.planning.surface import surface_to_json
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.profile.layers import TierProfile
from tiersplit_core.profile.refine import merge_segments
from tiersplit_operator.plan_outcome import PlanOutcome

Document = Mapping[str, Any]


def make_request(
    manifest: Document, graph: bytes, profiles: Mapping[str, Sequence[bytes]], segments: Mapping[str, str]
) -> bytes:
    """What the process reads.

    Args:
        manifest: the resource.
        graph: the layer graph's JSON.
        profiles: per tier the JSON of its layers' profile, then those of segments.
        segments: digest of the ONNX file per id of a segment that was cut.
    """
    encoded = {tier: [base64.b64encode(data).decode() for data in found] for tier, found in profiles.items()}
    about = {"manifest": manifest, "graph": base64.b64encode(graph).decode(), "profiles": encoded}
    return json.dumps({**about, "segments": dict(segments)}).encode()


def answer(request: bytes) -> dict[str, Any]:
    """What the process writes: `surface`, `outcome` and refined `profiles`, or `error` (and `infeasible`)."""
    try:
        return _planned(json.loads(request))
    except InfeasibleError as error:
        return {"error": error.constraint, "infeasible": True}
    except TiersplitError as error:
        return {"error": str(error)}


def _planned(request: Document) -> dict[str, Any]:
    graph = graph_from_json(json.loads(base64.b64decode(request["graph"])))
    profiles = {tier: _merged(tier, found, graph) for tier, found in request["profiles"].items()}
    found = replay(graph, profiles, request["segments"], intent_of(resource_from(request["manifest"])))
    if isinstance(found, Waiting):
        return _waiting(found)
    return _settled(found)


def _merged(tier: str, encoded: Sequence[str], graph: LayerGraph) -> TierProfile:
    """The layers' profile with the segments of all the others; names of tiers are the resource's own."""
    layers, *others = (json.loads(base64.b64decode(text)) for text in encoded)
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
        unmeasured={tier: tuple(ids) for tier, ids in found.work.unmeasured.items()},
    )
    return {"surface": surface_to_json(surface), "outcome": outcome.to_text(), "profiles": {}}


def _settled(found: Settled) -> dict[str, Any]:
    base_bytes = {tier: profile.base_bytes for tier, profile in found.profiles.items()}
    outcome = PlanOutcome(
        settled=True, plans=len(found.surface.plans), round=found.rounds, off=found.off, base_bytes=base_bytes
    )
    profiles = {tier: profile_to_json(profile) for tier, profile in found.profiles.items()}
    return {"surface": surface_to_json(found.surface), "outcome": outcome.to_text(), "profiles": profiles}


def main(arguments: Sequence[str]) -> None:
    """Plan once; the first argument bounds the process's memory in bytes."""
    limits.setrlimit(limits.RLIMIT_AS, (int(arguments[0]), int(arguments[0])))
    sys.stdout.write(json.dumps(answer(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main(sys.argv[1:])
