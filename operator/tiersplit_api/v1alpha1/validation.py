"""Rules that look at several fields: ordered pure functions, each yields (field path, what to write)."""

from collections.abc import Callable, Iterator
from itertools import pairwise

from tiersplit_api.v1alpha1.adaptation import ExitMode
from tiersplit_api.v1alpha1.model import Datatype, Metric, ModelInput, WeightsFrom
from tiersplit_api.v1alpha1.tiers import BIT_WIDTHS, TierPlacement
from tiersplit_api.v1alpha1.types import Spec, SplitDeployment
from tiersplit_core.errors import ManifestError
from tiersplit_core.units import parse_percent, parse_quantity

Mistakes = Iterator[tuple[str, str]]
MIN_MEMORY_BYTES = 16 * 2**20
MIN_BANDWIDTH_BPS = 1000


def check(resource: SplitDeployment) -> None:
    """Refuse a resource whose fields contradict each other.

    Raises:
        ManifestError: the first mistake, with its field path and what to write.
    """
    for rule in RULES:
        for path, reason in rule(resource.spec):
            raise ManifestError(reason, f"spec.{path}")


def one_source(spec: Spec) -> Mistakes:
    """Exactly one source."""
    source = spec.model.source
    given = [name for name in type(source).model_fields if getattr(source, name) is not None]
    if len(given) != 1:
        yield "model.source", f"{len(given)} sources given; write one of torch, exportedProgramUri, onnxUri, bundle"


def torch_weights(spec: Spec) -> Mistakes:
    """`weights: Uri` and `weightsUri` belong together; a torch source needs inputs."""
    torch = spec.model.source.torch
    if torch is None:
        return
    if torch.weights is WeightsFrom.URI and torch.weights_uri is None:
        yield "model.source.torch.weightsUri", "weights is Uri: write where they are"
    if torch.weights is not WeightsFrom.URI and torch.weights_uri is not None:
        yield "model.source.torch.weights", f"weightsUri is given: write weights: Uri, not {torch.weights.value}"
    if not spec.model.inputs:
        yield "model.inputs", "a torch source needs them: write name, datatype and shape of each input"


def inputs(spec: Spec) -> Mistakes:
    """Names are unique, -1 stands first only, cameras send UINT8."""
    seen: set[str] = set()
    for i, item in enumerate(spec.model.inputs):
        path = f"model.inputs[{i}]"
        if item.name in seen:
            yield f"{path}.name", f"{item.name!r} is taken; write another name"
        seen.add(item.name)
        yield from _shape(item, path)
        if item.wire_datatype not in {None, item.datatype, Datatype.UINT8}:
            yield f"{path}.wireDatatype", f"write UINT8 or {item.datatype.value}"


def _shape(item: ModelInput, path: str) -> Mistakes:
    for j, size in enumerate(item.shape):
        if size == 0 or (size < 0 and j > 0):
            yield f"{path}.shape[{j}]", f"{size} is no size here; write a size ≥ 1 (-1 stands first only)"


def metric(spec: Spec) -> Mistakes:
    """`metric: Function` and `function` belong together."""
    wanted = spec.model.validation
    if wanted.metric is Metric.FUNCTION and wanted.function is None:
        yield "model.validation.function", "metric is Function: write which, as module:callable"
    if wanted.metric is not Metric.FUNCTION and wanted.function is not None:
        yield "model.validation.metric", f"function is given: write metric: Function, not {wanted.metric.value}"


def accuracy(spec: Spec) -> Mistakes:
    """A bound is relative or absolute, and a percentage up to 100."""
    wanted = spec.accuracy
    if wanted.max_drop is not None and wanted.min is not None:
        yield "accuracy", "write maxDrop or min, not both"
    for name, value in (("maxDrop", wanted.max_drop), ("min", wanted.min)):
        if value is not None and parse_percent(value) > 1:
            yield f"accuracy.{name}", f"{value} is more than 100%"


def objective(spec: Spec) -> Mistakes:
    """Minimise something, or maximise the accuracy within a latency."""
    goal = spec.objective
    if goal.minimize is not None and goal.maximize is not None:
        yield "objective", "write minimize or maximize, not both"
    if goal.maximize is not None and goal.max_latency_milliseconds is None:
        yield "objective.maxLatencyMilliseconds", "maximize needs it: write a latency of at least 1"
    if goal.maximize is None and goal.max_latency_milliseconds is not None:
        yield "objective.maxLatencyMilliseconds", "it belongs to maximize: write maximize: Accuracy or leave it out"


def tiers(spec: Spec) -> Mistakes:
    """Names are unique; placement fits replicas; memory holds something; bit widths are known."""
    seen: set[str] = set()
    for i, tier in enumerate(spec.tiers):
        path = f"tiers[{i}]"
        if tier.name in seen:
            yield f"{path}.name", f"{tier.name!r} is taken; write another name"
        seen.add(tier.name)
        if tier.placement is TierPlacement.EVERY_NODE and tier.replicas is not None:
            yield f"{path}.replicas", "placement is EveryNode: leave replicas out"
        if tier.memory is not None and parse_quantity(tier.memory) < MIN_MEMORY_BYTES:
            yield f"{path}.memory", f"{tier.memory} is too little; write at least 16Mi"
        for name, widths in (("weightBits", tier.weight_bits), ("activationBits", tier.activation_bits)):
            yield from _bit_widths(f"{path}.{name}", widths)


def _bit_widths(path: str, widths: list[int]) -> Mistakes:
    for j, width in enumerate(widths):
        if width not in BIT_WIDTHS:
            yield f"{path}[{j}]", f"{width} is no bit width; write 2, 4, 6, 8, 16 or 32"
        if width in widths[:j]:
            yield f"{path}[{j}]", f"{width} stands twice; leave one out"


def links(spec: Spec) -> Mistakes:
    """Links join neighbours, each pair once."""
    names = [tier.name for tier in spec.tiers]
    pairs = list(pairwise(names))
    seen: set[tuple[str, str]] = set()
    for i, link in enumerate(spec.links):
        pair = (link.source, link.target)
        if pair not in pairs:
            known = ", ".join(f"{source} to {target}" for source, target in pairs) or "none, with one tier"
            yield f"links[{i}]", f"{pair[0]} to {pair[1]} joins no neighbours; links are {known}"
        if pair in seen:
            yield f"links[{i}]", f"{pair[0]} to {pair[1]} stands twice; leave one out"
        seen.add(pair)
        if link.bandwidth is not None and parse_quantity(link.bandwidth) < MIN_BANDWIDTH_BPS:
            yield f"links[{i}].bandwidth", f"{link.bandwidth} is too little; write at least 1k (bits per second)"


def result_tier(spec: Spec) -> Mistakes:
    """The result goes to a declared tier."""
    names = [tier.name for tier in spec.tiers]
    if spec.result_tier is not None and spec.result_tier not in names:
        yield "resultTier", f"no tier is called {spec.result_tier!r}; write one of {', '.join(names)}"


def early_exit(spec: Spec) -> Mistakes:
    """Exits are trusted only where they were validated."""
    if spec.early_exit.mode is ExitMode.AUTO and spec.model.validation.uri is None:
        yield "earlyExit.mode", "Auto needs validation data: write model.validation.uri, or mode: Off"


RULES: tuple[Callable[[Spec], Mistakes], ...] = (
    one_source,
    torch_weights,
    inputs,
    metric,
    accuracy,
    objective,
    tiers,
    links,
    result_tier,
    early_exit,
)
