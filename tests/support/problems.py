"""Hypothesis strategies for random planning problems over random DAGs."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from tiersplit_core.planning.problem import INPUT, Link, Objective, Problem, ProblemLayer, Serving, Tier

SECONDS = st.one_of(st.just(0.0), st.floats(1e-4, 10.0))
SIZES = st.one_of(st.just(0), st.integers(1, 10_000), st.integers(10**5, 10**7))
BANDWIDTHS = st.floats(2.0, 9.0).map(lambda exponent: 10.0**exponent)


@st.composite
def layers(draw, tiers, count, chain=False):
    """`count` layers in execution order, each reading one to three values before it."""
    names = [INPUT]
    made = []
    for i in range(count):
        sources = [names[-1]] if chain else draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        seconds = {tier: draw(SECONDS) for tier in tiers}
        made.append(ProblemLayer(f"l{i}", tuple(sources), draw(SIZES), draw(SIZES), seconds))
        names.append(f"l{i}")
    return tuple(made)


def servings():
    """What tiers spend on a request besides layers; often nothing."""
    spent = st.builds(Serving, SECONDS, SECONDS, st.floats(0, 1e-6), SECONDS, st.floats(0, 1e-6))
    return st.one_of(st.just(Serving()), spent)


@st.composite
def problems(draw, max_tiers=4, max_layers=6, objectives=tuple(Objective), chain=False, limited=None):
    """Problems of 2 to `max_tiers` tiers with and without privacy, way back and memory limits."""
    count = draw(st.integers(2, max_tiers))
    names = [f"t{i}" for i in range(count)]
    made = draw(layers(names, draw(st.integers(1, max_layers if count < 4 else min(max_layers, 5))), chain))
    outputs = draw(st.lists(st.sampled_from([layer.name for layer in made]), min_size=1, max_size=2, unique=True))
    links = tuple(Link(a, b, draw(BANDWIDTHS), draw(SECONDS)) for a, b in pairwise(names))
    problem = Problem(
        layers=made,
        outputs=tuple(outputs),
        input_bytes=draw(SIZES),
        tiers=tuple(Tier(name, serving=draw(servings())) for name in names),
        links=links,
        objective=draw(st.sampled_from(objectives)),
        raw_input_tier=draw(st.sampled_from([None, names[0]])),
        result_tier=draw(st.sampled_from([None, names[0]])),
    )
    limited = draw(st.booleans()) if limited is None else limited
    return (
        with_limits(problem, draw(st.lists(st.floats(0.1, 1.2), min_size=count, max_size=count)))
        if limited
        else problem
    )


def with_limits(problem, shares):
    """The problem with each tier's memory limited to a share of all weights and the largest tensors."""
    whole = sum(layer.weight_bytes for layer in problem.layers)
    largest = sorted([problem.input_bytes, *(layer.output_bytes for layer in problem.layers)])[-3:]
    tiers = [
        replace(tier, memory_bytes=None if share > 1.1 else int(share * (whole + sum(largest))))
        for tier, share in zip(problem.tiers, shares, strict=True)
    ]
    return replace(problem, tiers=tuple(tiers))
