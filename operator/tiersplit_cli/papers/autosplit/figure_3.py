"""Figure 3, worked: a node whose output is too large as floats becomes the best split at 4 bits.

The figure's numbers are bars without labels; the sizes here are such that they have its order: as floats node 2 sends
more than the input, at 4 bits least of all splits.
"""

from tiersplit_cli.papers.rows import Row
from tiersplit_core.cost.problem import Link, Problem, ProblemLayer, Tier, Variant
from tiersplit_core.planning.planner import solve

_BITS = 4
_ELEMENTS = {"node 1": 800, "node 2": 300, "node 3": 400, "node 4": 10}
_EDGE_S, _CLOUD_S = {"node 1": 1, "node 2": 1, "node 3": 40, "node 4": 2000}, 1


def rows() -> list[Row]:
    """The split of the floats, and that of the quantised network."""
    floats, quantised = (_split_of(example(variants)) for variants in (False, True))
    return [
        Row("autosplit/figure-3/float", "example of figure 3: split of the floats (QDMP)", "not node 2", floats),
        Row("autosplit/figure-3/4-bit", "example of figure 3: split at 4 bits", "node 2", quantised),
    ]


def example(quantised: bool) -> Problem:
    """A chain of four nodes between an edge and a cloud; one byte takes one second.

    Args:
        quantised: whether the edge may run nodes at 4 bits.
    """
    names = list(_ELEMENTS)
    layers = tuple(_layer(name, before, quantised) for name, before in zip(names, ["input", *names[:-1]], strict=True))
    tiers = (Tier("edge"), Tier("cloud"))
    return Problem(layers, (names[-1],), 1000, tiers, (Link("edge", "cloud", 8.0, 0.0),))


def _layer(name: str, before: str, quantised: bool) -> ProblemLayer:
    elements, seconds = _ELEMENTS[name], {"edge": float(_EDGE_S[name]), "cloud": float(_CLOUD_S)}
    variant = Variant(_BITS, _BITS, 0, {"edge": seconds["edge"]}, 0.0)
    return ProblemLayer(name, (before,), 4 * elements, 0, seconds, elements, (variant,) if quantised else ())


def _split_of(problem: Problem) -> str:
    solution = solve(problem, "autosplit" if problem.layers[0].variants else "qdmp-e")
    head = solution.plan.layers_on("edge") if solution.plan else ()
    return head[-1] if head else "the input"
