"""From a layer graph and the profiles of its tiers to a planning problem."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tiersplit_core.cost.problem import CANNOT_RUN_S, Link, Objective, Problem, ProblemLayer, Serving, Tier
from tiersplit_core.errors import ProfileError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.profile.batches import at_batch, form_seconds, layer_seconds
from tiersplit_core.profile.layers import TierProfile
from tiersplit_core.profile.rest import after_rest
from tiersplit_core.profile.serving import ServingProfile
from tiersplit_core.quantization.forms import RunForm


def problem_from_profiles(
    graph: LayerGraph,
    profiles: Mapping[str, TierProfile],
    tiers: Sequence[Tier],
    links: Sequence[Link],
    objective: Objective = Objective.LATENCY,
    raw_input_tier: str | None = None,
    result_tier: str | None = None,
    batch: int = 1,
) -> Problem:
    """The problem of dividing `graph` at one batch size; the last tier alone can run opaque layers.

    Args:
        graph: the layers; their bytes are per sample and are multiplied by `batch`.
        profiles: per tier name; seconds between measured batch sizes are interpolated.
        tiers: in the order in which data flows.
        links: one between each two neighbours.
        objective: what is minimised.
        raw_input_tier: the first tier's name where the input must not leave it.
        result_tier: the first tier's name where the result is needed there.
        batch: samples of one request.

    Raises:
        ProfileError: a tier has no profile, or its profile lacks a layer.
    """
    seconds = _seconds_by_tier(graph, profiles, tiers, objective, batch)
    layers = tuple(
        ProblemLayer(
            name=layer.name,
            inputs=layer.inputs,
            output_bytes=layer.output_bytes * batch,
            weight_bytes=layer.weight_bytes,
            seconds={tier: of_layer[layer.name] for tier, of_layer in seconds.items()},
        )
        for layer in graph.layers
    )
    client_bytes = graph.input_bytes * batch
    return Problem(
        layers=layers,
        outputs=graph.outputs,
        input_bytes=client_bytes,
        tiers=tuple(replace(tier, serving=serving_of(profiles[tier.name], client_bytes)) for tier in tiers),
        links=tuple(links),
        objective=objective,
        raw_input_tier=raw_input_tier,
        result_tier=result_tier,
        batch=batch,
    )


def serving_of(profile: TierProfile, client_bytes: int) -> Serving:
    """What a tier spends on a request of `client_bytes` besides its layers; nothing where that was not measured."""
    known = profile.serving or ServingProfile()
    return Serving(
        request_s=known.request.seconds(client_bytes),
        send_s=known.send.fixed_s,
        send_s_per_byte=known.send.s_per_byte,
        receive_s=known.receive.fixed_s,
        receive_s_per_byte=known.receive.s_per_byte,
    )


def form_seconds_in(problem: Problem, profile: TierProfile, form: RunForm) -> dict[str, float]:
    """Seconds per layer of the first tier with the whole model in `form`, priced as those of `problem` are.

    Args:
        problem: as `problem_from_profiles` made it.
        profile: of its first tier.
        form: how layers run.

    Returns:
        Empty where that was not measured.
    """
    return _priced(profile, form_seconds(profile, form, problem.batch), problem.objective, first=True)


def _priced(
    profile: TierProfile, seconds: Mapping[str, float], objective: Objective, *, first: bool
) -> dict[str, float]:
    """Latency is that of a request that waits for no other; throughput is work without a rest."""
    return after_rest(profile, seconds, first=first) if objective is Objective.LATENCY else dict(seconds)


def _seconds_by_tier(
    graph: LayerGraph, profiles: Mapping[str, TierProfile], tiers: Sequence[Tier], objective: Objective, batch: int
) -> dict[str, dict[str, float]]:
    seconds = {
        tier.name: _seconds(graph, profiles, tier, batch, objective, first=place == 0)
        for place, tier in enumerate(tiers)
    }
    for tier in tiers[:-1]:
        seconds[tier.name] |= {layer.name: CANNOT_RUN_S for layer in graph.layers if layer.opaque}
    return seconds


def _seconds(
    graph: LayerGraph,
    profiles: Mapping[str, TierProfile],
    where: Tier,
    batch: int,
    objective: Objective,
    *,
    first: bool,
) -> dict[str, float]:
    tier = where.name
    if tier not in profiles:
        given = ", ".join(profiles) or "none"
        raise ProfileError(f"the tier {tier!r} has no profile; there are {given}", f"profiles.{tier}")
    profile = profiles[tier]
    priced = _priced(profile, layer_seconds(profile, batch), objective, first=first)
    seconds = priced | _impossible(profile, where, batch)
    for layer in graph.layers:
        if layer.name not in seconds:
            raise ProfileError(f"the layer {layer.name!r} was not profiled; profile this graph", f"profiles.{tier}")
    return seconds


def _impossible(profile: TierProfile, tier: Tier, batch: int) -> dict[str, float]:
    """Layers that the tier could not hold when it was measured, where its memory in the problem does not say so."""
    limit = tier.memory_bytes
    unheld = at_batch(profile, batch).unheld.items()
    return {name: CANNOT_RUN_S for name, needed in unheld if limit is None or needed <= limit}
