"""The evaluation of design §4.1 written as plainly as its words, independent of the product's arrays."""

from tiersplit_core.planning.problem import INPUT, Objective


def place_of(problem, placement, value):
    names = [tier.name for tier in problem.tiers]
    return 0 if value == INPUT else names.index(placement[value])


def crossing(problem, placement, link):
    """Names of the values that cross `link` forward."""
    found = set()
    for layer in problem.layers:
        for value in layer.inputs:
            if place_of(problem, placement, value) <= link < place_of(problem, placement, layer.name):
                found.add(value)
    return found


def size_of(problem, value):
    if value == INPUT:
        return problem.input_bytes
    return next(layer.output_bytes for layer in problem.layers if layer.name == value)


def objective(problem, placement):
    """Seconds of the objective."""
    compute = [
        sum(layer.seconds[tier.name] for layer in problem.layers if placement[layer.name] == tier.name)
        for tier in problem.tiers
    ]
    compute[0] += problem.tiers[0].serving.request_s
    sent = []
    for i, link in enumerate(problem.links):
        seconds = 0.0
        sender, receiver = problem.tiers[i].serving, problem.tiers[i + 1].serving
        values = crossing(problem, placement, i)
        back = [o for o in problem.outputs if problem.result_tier and place_of(problem, placement, o) > i]
        size = sum(size_of(problem, v) for v in values) + sum(size_of(problem, o) for o in back)
        compute[i] += sender.send_s * bool(values) + sender.send_s_per_byte * size
        compute[i + 1] += receiver.receive_s * bool(values) + receiver.receive_s_per_byte * size
        if values:
            seconds += link.latency_s + sum(8 * size_of(problem, v) for v in values) / link.bandwidth_bps
        if back:
            seconds += link.latency_s + sum(8 * size_of(problem, o) for o in back) / link.bandwidth_bps
        sent.append(seconds)
    return max(compute + sent) if problem.objective is Objective.THROUGHPUT else sum(compute) + sum(sent)


def memory(problem, placement, tier):
    """Bytes that a tier needs: its weights and the largest working set."""
    stage = [layer for layer in problem.layers if placement[layer.name] == problem.tiers[tier].name]
    if not stage:
        return 0
    received = {INPUT} if tier == 0 else crossing(problem, placement, tier - 1)
    onward = crossing(problem, placement, tier) if tier < len(problem.links) else set()
    largest = 0
    for i, layer in enumerate(stage):
        present = received | {before.name for before in stage[:i]}
        needed = onward | {value for later in stage[i:] for value in later.inputs}
        largest = max(largest, sum(size_of(problem, v) for v in (present & needed) | {layer.name}))
    return sum(layer.weight_bytes for layer in stage) + largest


def allowed(problem, placement):
    """Whether data flows forwards, the input stays where it must, and every tier's memory suffices."""
    for layer in problem.layers:
        own = place_of(problem, placement, layer.name)
        if any(place_of(problem, placement, value) > own for value in layer.inputs):
            return False
        if problem.raw_input_tier and INPUT in layer.inputs and own > 0:
            return False
    return all(
        tier.memory_bytes is None or memory(problem, placement, i) <= tier.memory_bytes
        for i, tier in enumerate(problem.tiers)
    )
