"""The planner: chooses a solver, asks it, and says what its answer is worth."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from tiersplit_core.cost.arrays import ProblemArrays, arrays_of
from tiersplit_core.cost.problem import Problem
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.feasibility import cannot_run
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution

DEFAULT_TIME_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class SolverInfo:
    """One solver or baseline: its name, kind, source, what its answers are worth, and the function that solves."""

    name: str
    kind: str
    module: str
    paper: str
    guarantee: str
    function: str = "solve"


SOLVERS = (
    SolverInfo(
        "auto",
        "solver",
        "auto",
        "picks among the solvers below",
        "optimal wherever min-cut, milp or (where layers list bit widths) autosplit-exact can prove it, else feasible",
    ),
    SolverInfo(
        "min-cut",
        "solver",
        "solvers.mincut",
        "Hu et al., DADS, INFOCOM 2019; Ishikawa, PAMI 2003; Picard 1976; Dinic 1970",
        "optimal latency on any graph where no memory limit binds",
    ),
    SolverInfo(
        "dp",
        "solver",
        "solvers.dp",
        "Kang et al., Neurosurgeon, ASPLOS 2017, for M tiers; Bellman 1957",
        "optimal on chains, feasible on other graphs; both objectives, memory limits",
    ),
    SolverInfo(
        "milp",
        "solver",
        "solvers.milp",
        "HiGHS: Huangfu and Hall 2018; lazy rows: Benders 1962",
        "optimal or feasible with its gap; both objectives, memory limits",
    ),
    SolverInfo(
        "exhaustive",
        "solver",
        "solvers.exhaustive",
        "enumeration, the reference",
        "optimal on small graphs; refuses others",
    ),
    SolverInfo(
        "autosplit",
        "solver",
        "autosplit.joint",
        "AUTO-SPLIT §4, Algorithm 1; Shoham and Gersho 1988",
        "split and bit widths together; never worse than first or last tier alone; gap reported for latency",
    ),
    SolverInfo(
        "autosplit-exact",
        "solver",
        "autosplit.exact",
        "AUTO-SPLIT §3.2, problem (5); HiGHS: Huangfu and Hall 2018",
        "optimal split and bit widths over any tiers, else feasible with its gap; both objectives, memory limits",
    ),
    SolverInfo("edge-only", "baseline", "baselines.edge_only", "LMOS §5.4.2", "everything on the first tier"),
    SolverInfo(
        "cloud-only",
        "baseline",
        "baselines.cloud_only",
        "LMOS §5.4.3; AUTO-SPLIT §5.3 (CLOUD16)",
        "everything on the last tier",
    ),
    SolverInfo(
        "neurosurgeon",
        "baseline",
        "baselines.neurosurgeon",
        "Kang et al., ASPLOS 2017; AUTO-SPLIT §5.3",
        "best single split point of the execution order, first and last tier only",
    ),
    SolverInfo(
        "dads",
        "baseline",
        "baselines.dads",
        "Hu et al., INFOCOM 2019; AUTO-SPLIT §2.2",
        "minimum cut between first and last tier; give it the unoptimised graph (import --no-optimise)",
    ),
    SolverInfo(
        "qdmp",
        "baseline",
        "baselines.qdmp",
        "Zhang et al., Towards Real-time Cooperative Deep Inference over the Cloud and Edge End Devices, IMWUT 2020; "
        "AUTO-SPLIT §2.2",
        "minimum cut between first and last tier; give it the optimised graph",
    ),
    SolverInfo(
        "qdmp-e",
        "baseline",
        "baselines.qdmp_e",
        "AUTO-SPLIT §5.3 (QDMP_E)",
        "QDMP's split with only its edge part stored on the edge",
    ),
    SolverInfo(
        "qdmp-e-u4",
        "baseline",
        "baselines.qdmp_e",
        "AUTO-SPLIT §5.4 (QDMP_E+U4)",
        "QDMP's split, its edge part in 4 bits",
        "solve_u4",
    ),
    SolverInfo(
        "qdmp-mixed",
        "baseline",
        "baselines.qdmp_mixed",
        "AUTO-SPLIT §5.4 (QDMP + mixed precision)",
        "QDMP's split, then bit widths for its edge part within memory and max_distortion",
    ),
    *(
        SolverInfo(
            f"u{bits}",
            "baseline",
            "baselines.uniform",
            f"AUTO-SPLIT §5.2 (U{bits})",
            f"everything on the first tier in {bits} bits",
            f"u{bits}",
        )
        for bits in (2, 4, 6, 8)
    ),
    SolverInfo(
        "tq8",
        "baseline",
        "baselines.uniform",
        "AUTO-SPLIT §5.5, table 3 (TQ 8 bit)",
        "everything on the first tier in 8 bits, as TensorFlow Lite quantises",
        "tq8",
    ),
    SolverInfo(
        "cloud16",
        "baseline",
        "baselines.cloud16",
        "AUTO-SPLIT §5.3 (CLOUD16)",
        "everything on the last tier at 16 bits",
    ),
    SolverInfo(
        "random-split",
        "baseline",
        "baselines.random_split",
        "LMOS §5.4.4",
        "split points drawn, seeded; any objective",
    ),
)


def solve(
    problem: Problem, solver: str = "auto", time_limit_s: float = DEFAULT_TIME_LIMIT_S, seed: int = 0
) -> Solution:
    """Plan with a solver or baseline.

    Args:
        problem: the problem.
        solver: a name of `SOLVERS`.
        time_limit_s: bound for solvers that search; they return the best plan so far with its gap.
        seed: seed of baselines that draw.

    Returns:
        The answer; `OPTIMAL` is proven.

    Raises:
        ProblemError: there is no such solver, or it does not answer this kind of problem.
    """
    return solve_arrays(arrays_of(problem), solver, SolverOptions(time_limit_s, seed))


def solve_arrays(arrays: ProblemArrays, solver: str, options: SolverOptions) -> Solution:
    """As `solve`, for a problem that is in arrays already."""
    found = solver_named(solver)(arrays, options)
    if found.plan is None:
        return found
    tiers = arrays.tiers_of(found.plan.placement)
    names = [layer.name for layer in arrays.problem.layers]
    # A layer that is quantised runs where its variant does.
    misplaced = [layer for layer in arrays.misplaced(tiers).tolist() if names[layer] not in found.plan.widths]
    return infeasible(found.solver, cannot_run(arrays, tiers, misplaced[0])) if misplaced else found


def solver_named(name: str) -> Callable[[ProblemArrays, SolverOptions], Solution]:
    """The function of a solver or baseline; its module is imported when first asked for.

    Raises:
        ProblemError: there is none of that name.
    """
    for info in SOLVERS:
        if info.name == name:
            module = importlib.import_module(f"{__package__}.{info.module}")
            found: Callable[[ProblemArrays, SolverOptions], Solution] = getattr(module, info.function)
            return found
    known = ", ".join(info.name for info in SOLVERS)
    raise ProblemError(f"no solver is called {name!r}; there are {known}", "--solver")
