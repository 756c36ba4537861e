"""Manifests that are wrong, each with the words that a person must read when it is refused."""

import copy
from dataclasses import dataclass
from typing import Any

REMOVE = object()
"""As a value: the field is taken away."""

GOOD: dict[str, Any] = {
    "apiVersion": "tiersplit.dev/v1alpha1",
    "kind": "SplitDeployment",
    "metadata": {"name": "reader"},
    "spec": {
        "model": {
            "source": {"torch": {"factory": "torchvision.models:resnet18"}},
            "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 224, 224]}],
        },
        "tiers": [{"name": "edge", "memory": "64Mi"}, {"name": "cloud"}],
        "links": [{"from": "edge", "to": "cloud", "bandwidth": "10M", "latencyMilliseconds": 40}],
    },
}


@dataclass(frozen=True)
class Wrong:
    """One mistake.

    Attributes:
        title: what is wrong.
        path: where, as `spec.tiers.0.name`.
        value: what stands there.
        says: words of the API server's refusal.
    """

    title: str
    path: str
    value: Any
    says: tuple[str, ...]

    @property
    def manifest(self) -> dict[str, Any]:
        """`GOOD` with the mistake."""
        made = copy.deepcopy(GOOD)
        *way, last = self.path.split(".")
        place: Any = made
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if self.value is REMOVE:
            del place[last]
        elif isinstance(place, list):
            place[int(last)] = self.value
        else:
            place[last] = self.value
        return made


def _tiers(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


TORCH = "spec.model.source.torch"
WRONG: tuple[Wrong, ...] = (
    Wrong("no model", "spec.model", REMOVE, ("spec.model", "Required")),
    Wrong("no tiers", "spec.tiers", REMOVE, ("spec.tiers", "Required")),
    Wrong("an empty list of tiers", "spec.tiers", [], ("spec.tiers", "at least 1")),
    Wrong("seven tiers", "spec.tiers", _tiers(*"abcdefg"), ("spec.tiers", "at most 6")),
    Wrong("two tiers of one name", "spec.tiers", _tiers("edge", "edge"), ("tiers have different names",)),
    Wrong("a tier in capitals", "spec.tiers.0.name", "Edge", ("spec.tiers[0].name",)),
    Wrong(
        "a tier's name of 17 letters", "spec.tiers.0.name", "a" * 17, ("spec.tiers[0].name", "may not be more than 16")
    ),
    Wrong("an unknown placement", "spec.tiers.0.placement", "Everywhere", ("placement", "Replicas", "EveryNode")),
    Wrong("an unknown rollout", "spec.tiers.0.rollout", "Fast", ("rollout", "Surge", "Recreate")),
    Wrong("no replicas at all", "spec.tiers.0.replicas", 0, ("replicas", "greater than or equal to 1")),
    Wrong("too many replicas", "spec.tiers.0.replicas", 101, ("replicas", "less than or equal to 100")),
    Wrong(
        "replicas beside EveryNode",
        "spec.tiers.0",
        {"name": "edge", "placement": "EveryNode", "replicas": 2},
        ("leave replicas out",),
    ),
    Wrong("memory that holds nothing", "spec.tiers.0.memory", "8Mi", ("write at least 16Mi",)),
    Wrong("memory as bare small number", "spec.tiers.0.memory", 1000, ("write at least 16Mi",)),
    Wrong("memory that is no quantity", "spec.tiers.0.memory", "lots", ("spec.tiers[0].memory",)),
    Wrong("a bit width of 3", "spec.tiers.0.weightBits", [3], ("weightBits", "2", "4", "6", "8", "16", "32")),
    Wrong("a bit width twice", "spec.tiers.0.weightBits", [8, 8], ("weightBits", "Duplicate")),
    Wrong("an unknown Service type", "spec.tiers.0.service", {"type": "Tunnel"}, ("ClusterIP", "LoadBalancer")),
    Wrong("two sources", f"{TORCH[:-6]}.onnxUri", "file.onnx", ("write exactly one of torch",)),
    Wrong("no source", TORCH, REMOVE, ("write exactly one of torch",)),
    Wrong("a factory without callable", f"{TORCH}.factory", "torchvision.models", ("factory",)),
    Wrong("weights from nowhere", f"{TORCH}.weights", "Uri", ("write where they are",)),
    Wrong("an address of weights unasked", f"{TORCH}.weightsUri", "https://x/w", ("write weights: Uri",)),
    Wrong("unknown weights", f"{TORCH}.weights", "Download", ("weights", "Factory", "Random")),
    Wrong("a torch model without inputs", "spec.model.inputs", [], ("a torch source needs inputs",)),
    Wrong("a size of 0", "spec.model.inputs.0.shape", [-1, 0], ("sizes are at least 1",)),
    Wrong("a batch in the middle", "spec.model.inputs.0.shape", [3, -1], ("-1 stands first only",)),
    Wrong("no shape", "spec.model.inputs.0.shape", [], ("shape", "at least 1")),
    Wrong("an unknown datatype", "spec.model.inputs.0.datatype", "FLOAT", ("datatype", "FP32")),
    Wrong("a wire datatype of its own", "spec.model.inputs.0.wireDatatype", "INT64", ("wireDatatype is UINT8",)),
    Wrong("an unknown metric", "spec.model.validation.metric", "mAP", ("metric", "MeanAveragePrecision")),
    Wrong("no function of one's own", "spec.model.validation.metric", "Function", ("metric is Function",)),
    Wrong("a function unasked", "spec.model.validation.function", "a.b:c", ("write metric: Function",)),
    Wrong("no callable", "spec.model.validation", {"metric": "Function", "function": "a.b"}, ("function",)),
    Wrong("both accuracies", "spec.accuracy", {"maxDrop": "1%", "min": "70%"}, ("write maxDrop or min, not both",)),
    Wrong("an accuracy above all", "spec.accuracy", {"min": "170%"}, ("min is more than 100%",)),
    Wrong("a drop without percent sign", "spec.accuracy", {"maxDrop": "1"}, ("maxDrop",)),
    Wrong("an unknown objective", "spec.objective", {"minimize": "Cost"}, ("minimize", "Latency", "Throughput")),
    Wrong("two objectives", "spec.objective", {"minimize": "Latency", "maximize": "Accuracy"}, ("not both",)),
    Wrong("an unbounded maximum", "spec.objective", {"maximize": "Accuracy"}, ("maxLatencyMilliseconds",)),
    Wrong("a link that leads nowhere", "spec.links.0.to", "moon", ("links join neighbouring tiers",)),
    Wrong("a link backwards", "spec.links.0", {"from": "cloud", "to": "edge"}, ("links join neighbouring tiers",)),
    Wrong(
        "a link twice",
        "spec.links",
        [{"from": "edge", "to": "cloud"}, {"from": "edge", "to": "cloud"}],
        ("links", "Duplicate"),
    ),
    Wrong("a bandwidth of 10 bits", "spec.links.0.bandwidth", "10", ("write at least 1k",)),
    Wrong("a latency of two minutes", "spec.links.0.latencyMilliseconds", 120000, ("less than or equal to 60000",)),
    Wrong("a result on the moon", "spec.resultTier", "moon", ("resultTier is the name of a tier",)),
    Wrong("raw input to somewhere", "spec.rawInput", "Cloud", ("rawInput", "AnyTier", "FirstTierOnly")),
    Wrong("an unknown mode", "spec.adaptation", {"mode": "Manual"}, ("Auto", "Recommend", "Paused")),
    Wrong("polling without end", "spec.adaptation", {"pollingPeriodSeconds": 0}, ("pollingPeriodSeconds",)),
    Wrong("a gain without percent", "spec.adaptation", {"minGain": "0.05"}, ("minGain",)),
    Wrong("a name in capitals", "metadata.name", "Reader", ("metadata.name",)),
    Wrong("a name of 41 letters", "metadata.name", "r" * 41, ("at most 40",)),
    Wrong("a name with a dot", "metadata.name", "plate.reader", ("a letter first",)),
    Wrong("half a TLS", "spec.tls", {"mode": "Half"}, ("Mutual", "Off")),
    Wrong("an unknown field", "spec.tier", [], ("unknown field", "spec.tier")),
    Wrong("a field of another depth", "spec.minGain", "5%", ("unknown field", "spec.minGain")),
)
