"""Section 4: how long planning takes, and what deciding on split and widths together gains."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tiersplit_cli.papers.autosplit.published import MODELS
from tiersplit_cli.papers.autosplit.search import NOT_TRAINED, reference_error
from tiersplit_cli.papers.autosplit.simulated import seconds_of, simulated
from tiersplit_cli.papers.rows import Row, percent
from tiersplit_core.cost.arrays import ProblemArrays, arrays_of
from tiersplit_core.planning.autosplit.sequential import quantise_then_split, split_then_quantise
from tiersplit_core.planning.autosplit.solutions import Candidate, WidthSearch
from tiersplit_core.planning.planner import solve

_ID = "autosplit/section-4"
_TIMED = "resnet50"
Search = Callable[[ProblemArrays], tuple[WidthSearch, Candidate | None]]
_SEARCHES: dict[str, Search] = {
    "split, then quantise": split_then_quantise,
    "quantise, then split": quantise_then_split,
}


def rows() -> list[Row]:
    """Planning time of ResNet-50, and the gain of the joint search per network."""
    return [_planning_time(), *(row for model in MODELS for row in _gains(model))]


def _planning_time() -> Row:
    problem = simulated(_TIMED).problem
    began = time.thread_time()
    solve(problem, "autosplit")
    taken = time.thread_time() - began
    quantity = f"{_TIMED}: seconds of the processor for all splits and widths, from stored statistics"
    return Row(f"{_ID}/seconds", quantity, "not printed", f"{taken:.2g} s", note="the target is 2 s")


def _gains(model: str) -> Iterator[Row]:
    """With E as everywhere, on the whole memory of the edge and on what the network needs at 6 bits."""
    on = simulated(model)
    small = on.solved("u6").stages[0].memory_bytes
    for what, budget in (("4 GiB", on.problem.tiers[0].memory_bytes), ("the memory that U6 needs", small)):
        tiers = (replace(on.problem.tiers[0], memory_bytes=budget), *on.problem.tiers[1:])
        problem = replace(on.problem, tiers=tiers, max_distortion=reference_error(on))
        joint_s, arrays = seconds_of(solve(problem, "autosplit")), arrays_of(problem)
        for name, search in _SEARCHES.items():
            found = search(arrays)[1]
            ours = "the other finds nothing" if found is None else percent(1 - joint_s / found.objective_s)
            quantity = f"{model}, {what}: latency of the joint search below that of: {name}"
            yield Row(f"{_ID}/{model}/{what}/{name}", quantity, "not printed", ours, False, NOT_TRAINED)
