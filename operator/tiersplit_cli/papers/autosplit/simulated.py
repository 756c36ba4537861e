"""AUTO-SPLIT's experiments as planning problems (§5.1): table 1's edge and cloud, 3 Mbps, an input of bytes.

A network as it is has 16 bits (§3.1). SCALE-Sim, the paper's simulator, counts the same cycles for all widths, so a
multiply-accumulate of 16 bits takes as long as one of 8 here (`SIXTEEN_BIT_PASSES`); only transfers grow. The edge's
memory is table 1's 4 GB, the only figure that the paper gives. The link has no latency of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from tiersplit_cli.papers.numbering import counted, paper_index
from tiersplit_cli.papers.stored import stored_graph, stored_statistics
from tiersplit_core.cost.arrays import ProblemArrays, arrays_of
from tiersplit_core.cost.problem import CANNOT_RUN_S, Link, MemoryModel, Problem, ProblemLayer, Tier
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.variants import systolic_seconds, with_variants
from tiersplit_core.profile.systolic import ARRAYS, ORIGINAL_BITS, SystolicArray, multiplier_passes
from tiersplit_core.quantization.statistics import Statistics

EDGE, CLOUD = "edge", "cloud"
UPLINK_MBPS = 3.0
SIXTEEN_BIT_PASSES = 1
"""How often an 8-bit multiplier works for a product of 16 bits: once in SCALE-Sim, four times in a TPU."""

FAST_EDGE = (
    "on this edge whole networks in 16 bits beat their splits: table 1's 34 GOPs are taken as multiply-accumulates"
)


@dataclass(frozen=True)
class Simulated:
    """One network on the paper's hardware.

    Attributes:
        graph: its layers.
        statistics: what quantising them costs.
        problem: its planning problem, with variants at {2, 4, 6, 8} bits.
    """

    graph: LayerGraph
    statistics: Statistics
    problem: Problem
    _solutions: dict[str, Solution] = field(default_factory=dict)

    @cached_property
    def arrays(self) -> ProblemArrays:
        """The problem's numbers."""
        return arrays_of(self.problem)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The layers' numbers in the paper's tables."""
        return paper_index(self.graph)

    @cached_property
    def cloud_only_s(self) -> float:
        """Seconds of CLOUD-ONLY, to which the paper normalises."""
        return seconds_of(self.solved("cloud16"))

    def solved(self, solver: str) -> Solution:
        """What a solver or baseline answers."""
        if solver not in self._solutions:
            self._solutions[solver] = solve(self.problem, solver)
        return self._solutions[solver]

    def error_of(self, bits: int) -> float:
        """D(U`bits`): Σ (D_i^w + D_i^a) of all layers at `bits` bits."""
        return sum(layer.distortion(bits, bits) for layer in self.statistics.layers)


def numbered(layer: str | None, on: Simulated) -> str:
    """A layer's number in the paper's tables, what that counts, and its name."""
    return "nothing" if layer is None else f"{counted(on.graph)} {on.index[layer]} ({layer})"


def seconds_of(solution: Solution) -> float:
    """Seconds of a plan; infinite where there is none."""
    return float("inf") if solution.objective_s is None else solution.objective_s


@cache
def simulated(model: str, mbps: float = UPLINK_MBPS, passes: int = SIXTEEN_BIT_PASSES) -> Simulated:
    """One of the stored networks.

    Args:
        model: its name.
        mbps: the uplink in megabits per second.
        passes: see `SIXTEEN_BIT_PASSES`.
    """
    graph = stored_graph(model)
    statistics = with_exact_results(stored_statistics(model), graph)
    as_it_is = problem_of(graph, mbps, passes)
    return Simulated(
        graph, statistics, with_variants(as_it_is, statistics, {EDGE: systolic_seconds(graph, ARRAYS["eyeriss"])})
    )


def with_exact_results(statistics: Statistics, graph: LayerGraph) -> Statistics:
    """The statistics without the error of the results themselves.

    A detector's are coordinates in pixels, whose squared error would outweigh all layers together (by 400 to 1 in
    YOLOv3 at 8 bits), and nobody would hand them out at few bits.
    """
    exact = results_of(graph)
    layers = (
        replace(layer, activation_distortion=dict.fromkeys(layer.activation_distortion, 0.0))
        if layer.name in exact
        else layer
        for layer in statistics.layers
    )
    return replace(statistics, layers=tuple(layers))


def results_of(graph: LayerGraph) -> frozenset[str]:
    """The layers whose values are results that no further layer reads."""
    return frozenset(name for name in graph.outputs if not graph.readers[name])


def problem_of(graph: LayerGraph, mbps: float = UPLINK_MBPS, passes: int = SIXTEEN_BIT_PASSES) -> Problem:
    """The problem of dividing a network with 16 bits throughout."""
    edge, cloud = (_seconds(graph, ARRAYS[name], passes) for name in ("eyeriss", "tpu"))
    layers = tuple(
        ProblemLayer(
            name=layer.name,
            inputs=layer.inputs,
            output_bytes=layer.elements * ORIGINAL_BITS // 8,
            # Stored weights are float32.
            weight_bytes=layer.weight_bytes * ORIGINAL_BITS // 32,
            seconds={EDGE: CANNOT_RUN_S if layer.opaque else edge(layer.name), CLOUD: cloud(layer.name)},
        )
        for layer in graph.layers
    )
    tiers = tuple(Tier(ARRAYS[name].tier, ARRAYS[name].off_chip_bytes) for name in ("eyeriss", "tpu"))
    return Problem(
        layers=layers,
        outputs=graph.outputs,
        input_bytes=sum(tensor.elements for tensor in graph.inputs),
        tiers=tiers,
        links=(Link(EDGE, CLOUD, mbps * 1e6, 0.0),),
        memory_model=MemoryModel.AUTOSPLIT,
    )


def _seconds(graph: LayerGraph, hardware: SystolicArray, passes: int) -> Callable[[str], float]:
    """Seconds of a layer at 16 bits, by its name."""
    usual = multiplier_passes(ORIGINAL_BITS, ORIGINAL_BITS)
    of = systolic_seconds(graph, replace(hardware, clock_hz=hardware.clock_hz * usual / passes))
    return lambda name: of(name, ORIGINAL_BITS, ORIGINAL_BITS)
