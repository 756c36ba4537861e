"""What plans with bit widths cost, as plainly as the words of design §4.1 and AUTO-SPLIT §3.2, for two tiers."""

from dataclasses import replace
from itertools import product

from tests.support import reference_cost
from tiersplit_core.cost.payload import sent_payload_bytes
from tiersplit_core.planning.problem import INPUT, MemoryModel


def at_widths(problem, placement, widths, size):
    """The problem with the first tier's layers as their variants, their values as `size(layer, variant)` says."""

    def of(layer):
        if placement[layer.name] != problem.tiers[0].name:
            return layer
        pair = widths.get(layer.name)
        variant = next((v for v in layer.variants if (v.weight_bits, v.activation_bits) == pair), None)
        own = replace(layer, output_bytes=size(layer, variant))
        if variant is None:
            return own
        return replace(own, weight_bytes=variant.weight_bytes, seconds={**layer.seconds, **variant.seconds})

    return replace(problem, layers=tuple(of(layer) for layer in problem.layers))


def objective(problem, placement, widths):
    """Seconds of the objective."""

    def sent(layer, variant):
        bits = problem.transmission_bits.get(layer.name, variant.activation_bits if variant else None)
        return layer.output_bytes if bits is None else sent_payload_bytes(layer.name, layer.elements, bits)

    return reference_cost.objective(at_widths(problem, placement, widths, sent), placement)


def memory(problem, placement, widths):
    """Bytes that the first tier needs."""
    quantised = at_widths(problem, placement, widths, held)
    if problem.memory_model is MemoryModel.WORKING_SET:
        return reference_cost.memory(quantised, placement, 0)
    stage = [layer for layer in quantised.layers if placement[layer.name] == problem.tiers[0].name]
    onward = reference_cost.crossing(problem, placement, 0)
    largest = 0
    for i, layer in enumerate(stage):
        needed = onward | {value for later in stage[i + 1 :] for value in later.inputs} | {layer.name}
        made = {before.name for before in stage[: i + 1]}
        largest = max(largest, sum(reference_cost.size_of(quantised, v) for v in (made & needed) - {INPUT}))
    return sum(layer.weight_bytes for layer in stage) + largest


def held(layer, variant):
    """Bytes of a layer's value on the tier that computes it."""
    return layer.output_bytes if variant is None else -(-layer.elements * variant.activation_bits // 8)


def distortion(problem, widths):
    """The summed error of equation (4)."""
    pairs = {layer.name: {(v.weight_bits, v.activation_bits): v for v in layer.variants} for layer in problem.layers}
    return sum(pairs[name][tuple(pair)].distortion for name, pair in widths.items())


def allowed(problem, placement, widths):
    """Whether a plan satisfies everything: order, privacy, the first tier's memory and E."""
    limit, least = problem.tiers[0].memory_bytes, problem.max_distortion
    unlimited = replace(problem, tiers=tuple(replace(tier, memory_bytes=None) for tier in problem.tiers))
    return (
        reference_cost.allowed(unlimited, placement)
        and (limit is None or memory(problem, placement, widths) <= limit)
        and (least is None or distortion(problem, widths) <= least * (1 + 1e-9))
    )


def all_plans(problem):
    """Every placement over two tiers with every combination of the first one's widths."""
    first, last = (tier.name for tier in problem.tiers)
    options = [
        [(last, None), (first, None), *((first, (v.weight_bits, v.activation_bits)) for v in layer.variants)]
        for layer in problem.layers
    ]
    for chosen in product(*options):
        names = [layer.name for layer in problem.layers]
        placement = {name: tier for name, (tier, _) in zip(names, chosen, strict=True)}
        yield placement, {name: pair for name, (_, pair) in zip(names, chosen, strict=True) if pair}


def best(problem):
    """The least objective over all allowed plans; None where there is none."""
    return min((objective(problem, *plan) for plan in all_plans(problem) if allowed(problem, *plan)), default=None)
