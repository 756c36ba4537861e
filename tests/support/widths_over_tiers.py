"""Plans over any number of tiers with bit widths on each of them: random problems, and what plans cost in words."""

from dataclasses import replace
from itertools import product

from hypothesis import strategies as st

from tests.support.quantised_problems import quantised
from tiersplit_core.cost.payload import sent_payload_bytes
from tiersplit_core.cost.problem import CANNOT_RUN_S
from tiersplit_core.planning.problem import INPUT, MemoryModel, Objective

SHARES = st.one_of(st.none(), st.floats(0.02, 1.0))


@st.composite
def over_tiers(draw, tiers=3, max_layers=3, objectives=(Objective.LATENCY,)):
    """Problems whose layers list variants for any of their tiers; memory limits on several, some opaque layers."""
    problem = draw(quantised(max_layers=max_layers, tiers=tiers, limited=False, objectives=objectives))
    names = [tier.name for tier in problem.tiers]
    opaque = draw(st.sets(st.sampled_from([layer.name for layer in problem.layers]), max_size=1))
    layers = tuple(
        on_last_tier(layer, names) if layer.name in opaque and draw(st.booleans()) else listed(draw, layer, names)
        for layer in problem.layers
    )
    whole = sum(layer.weight_bytes + layer.output_bytes for layer in layers) + problem.input_bytes
    shares = draw(st.lists(SHARES, min_size=tiers, max_size=tiers))
    limited = tuple(
        replace(tier, memory_bytes=None if share is None else int(share * whole))
        for tier, share in zip(problem.tiers, shares, strict=True)
    )
    return replace(problem, layers=layers, tiers=limited)


def on_last_tier(layer, names):
    """An opaque layer: the last tier alone can run it, as it is."""
    return replace(layer, seconds={**layer.seconds, **dict.fromkeys(names[:-1], CANNOT_RUN_S)}, variants=())


def listed(draw, layer, names):
    """The layer with variants for some tiers each, of other seconds on each."""
    variants = []
    for variant in layer.variants:
        on = draw(st.sets(st.sampled_from(names), min_size=1))
        own = variant.seconds[names[0]]
        variants.append(replace(variant, seconds={name: own * draw(st.sampled_from([0.1, 0.5, 1.0])) for name in on}))
    return replace(layer, variants=tuple(variants))


def plans(problem):
    """Every placement in which data flows forwards, with every combination of widths that its tiers can run."""
    names = [tier.name for tier in problem.tiers]
    options = [
        [
            *((i, None) for i, tier in enumerate(names) if layer.seconds[tier] < CANNOT_RUN_S),
            *((i, v) for v in layer.variants for i, tier in enumerate(names) if tier in v.seconds),
        ]
        for layer in problem.layers
    ]
    for chosen in product(*options):
        plan = {layer.name: run for layer, run in zip(problem.layers, chosen, strict=True)}
        if all(place(plan, value) <= place(plan, layer.name) for layer in problem.layers for value in layer.inputs):
            yield plan


def place(plan, value):
    return 0 if value == INPUT else plan[value][0]


def plan_of(problem, solution):
    """A solution's plan as those of `plans`."""
    names = [tier.name for tier in problem.tiers]
    pairs = solution.plan.widths
    return {
        layer.name: (
            names.index(solution.plan.placement[layer.name]),
            next((v for v in layer.variants if (v.weight_bits, v.activation_bits) == pairs.get(layer.name)), None),
        )
        for layer in problem.layers
    }


def crossing(problem, plan, link):
    """The values that cross a link forwards."""
    return {v for layer in problem.layers for v in layer.inputs if place(plan, v) <= link < place(plan, layer.name)}


def sent(problem, plan, value):
    """Bytes of a value on a link."""
    if value == INPUT:
        return problem.input_bytes
    layer, variant = next(layer for layer in problem.layers if layer.name == value), plan[value][1]
    bits = problem.transmission_bits.get(value, variant.activation_bits if variant else None)
    return layer.output_bytes if bits is None else sent_payload_bytes(value, layer.elements, bits)


def objective(problem, plan):
    """Seconds of the objective."""
    tiers = [0.0] * len(problem.tiers)
    tiers[0] = problem.tiers[0].serving.request_s
    for layer in problem.layers:
        tier, variant = plan[layer.name]
        tiers[tier] += (variant or layer).seconds[problem.tiers[tier].name]
    links = []
    for i, link in enumerate(problem.links):
        values = crossing(problem, plan, i)
        back = [layer for layer in problem.layers if layer.name in problem.outputs and plan[layer.name][0] > i]
        back = back if problem.result_tier else []
        size = sum(sent(problem, plan, v) for v in values) + sum(layer.output_bytes for layer in back)
        sender, receiver = problem.tiers[i].serving, problem.tiers[i + 1].serving
        tiers[i] += sender.send_s * bool(values) + sender.send_s_per_byte * size
        tiers[i + 1] += receiver.receive_s * bool(values) + receiver.receive_s_per_byte * size
        links.append(link.latency_s * (bool(values) + bool(back)) + 8 * size / link.bandwidth_bps)
    return max(tiers + links) if problem.objective is Objective.THROUGHPUT else sum(tiers) + sum(links)


def held(problem, plan, value, tier):
    """Bytes of a value in a tier's memory: in the width of its variant where it is computed, else as it is."""
    if value == INPUT:
        return problem.input_bytes
    layer, (own, variant) = next(layer for layer in problem.layers if layer.name == value), plan[value]
    quantised = variant is not None and own == tier
    return -(-layer.elements * variant.activation_bits // 8) if quantised else layer.output_bytes


def memory(problem, plan, tier):
    """Bytes that a tier needs."""
    stage = [layer for layer in problem.layers if plan[layer.name][0] == tier]
    paper = problem.memory_model is MemoryModel.AUTOSPLIT
    received = {INPUT} if tier == 0 else crossing(problem, plan, tier - 1)
    onward = crossing(problem, plan, tier) if tier < len(problem.links) else set()
    largest = 0
    for i, layer in enumerate(stage):
        present = received | {before.name for before in stage[:i]}
        needed = onward | {value for later in stage[i + paper :] for value in later.inputs}
        here = ((present & needed) | {layer.name}) - ({INPUT} if paper else set())
        largest = max(largest, sum(held(problem, plan, value, tier) for value in here))
    return sum((plan[layer.name][1] or layer).weight_bytes for layer in stage) + largest


def distortion(plan):
    """The summed error of equation (4)."""
    return sum(variant.distortion for _, variant in plan.values() if variant)


def allowed(problem, plan):
    """Whether a plan keeps the input where it must be, every tier's memory, and E."""
    private = problem.raw_input_tier is not None
    if private and any(INPUT in layer.inputs and plan[layer.name][0] > 0 for layer in problem.layers):
        return False
    if problem.max_distortion is not None and distortion(plan) > problem.max_distortion * (1 + 1e-9):
        return False
    limits = [tier.memory_bytes for tier in problem.tiers]
    return all(limit is None or memory(problem, plan, i) <= limit for i, limit in enumerate(limits))


def best(problem):
    """The least objective over all allowed plans; None where there is none."""
    least = None
    for plan in plans(problem):
        found = objective(problem, plan)
        if (least is None or found < least) and allowed(problem, plan):
            least = found
    return least
