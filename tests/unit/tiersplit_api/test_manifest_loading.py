"""A manifest is read whole, completed, or refused with the field and what to write."""

from pathlib import Path

import pytest

from tiersplit_api.v1alpha1 import load_manifest, parse_manifest
from tiersplit_api.v1alpha1.adaptation import AdaptationMode, ExitMode, Minimize, RawInput
from tiersplit_core.errors import ManifestError

DESIGN = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {name: plate-reader, annotations: {team: vision}, uid: 1234}
spec:
  model:
    source: {torch: {factory: "torchvision.models:resnet50", weights: Uri, weightsUri: "https://example/resnet50.safetensors"}}
    inputs: [{name: input, datatype: FP32, wireDatatype: UINT8, shape: [-1, 3, 224, 224]}]
    calibration: {uri: "https://example/calibration.npz", samples: 128}
    validation: {uri: "https://example/validation.npz", metric: Top1}
  accuracy: {maxDrop: 1%}
  objective: {minimize: Latency}
  tiers:
  - {name: edge,  nodeSelector: {tiersplit.dev/pool: edge}, memory: 64Mi, weightBits: [8, 32],
     resources: {limits: {cpu: 250m}}}
  - {name: mdc,   nodeSelector: {tiersplit.dev/pool: micro-datacenter}}
  - {name: cloud, nodeSelector: {tiersplit.dev/pool: cloud}, replicas: 2}
  links:
  - {from: edge, to: mdc, bandwidth: 10M, latencyMilliseconds: 40}
  - {from: mdc, to: cloud, bandwidth: 100M, latencyMilliseconds: 50}
  rawInput: AnyTier
  resultTier: edge
  earlyExit: {mode: Off}
  adaptation: {mode: Auto, pollingPeriodSeconds: 5, cooldownPeriodSeconds: 30, minGain: 5%,
    fallback: {failureThreshold: 3, behavior: LastPlan}}
  telemetry: {prometheus: {bandwidthQuery: "x"}}
"""
MINIMAL = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {name: small}
spec:
  model: {source: {onnxUri: model.onnx}}
  tiers: [{name: edge}, {name: cloud}]
"""


def test_the_designs_example_is_read_as_it_stands() -> None:
    resource = parse_manifest(DESIGN)
    assert resource.spec.early_exit.mode is ExitMode.OFF
    assert [link.source for link in resource.spec.links] == ["edge", "mdc"]
    assert resource.spec.tiers[0].resources == {"limits": {"cpu": "250m"}}
    assert resource.metadata.annotations == {"team": "vision"}


def test_all_but_model_and_tiers_has_a_default() -> None:
    spec = parse_manifest(MINIMAL).spec
    assert spec.objective.minimize is Minimize.LATENCY
    assert spec.accuracy.max_drop == "1%"
    assert spec.result_tier == "edge"
    assert spec.raw_input is RawInput.ANY_TIER
    assert spec.adaptation.mode is AdaptationMode.AUTO
    assert (spec.adaptation.polling_period_seconds, spec.adaptation.cooldown_period_seconds) == (5, 30)
    assert (spec.adaptation.min_gain, spec.adaptation.fallback.failure_threshold) == ("5%", 3)
    assert spec.tiers[0].weight_bits == [8, 32]


def test_maximising_accuracy_within_a_latency_is_read() -> None:
    text = MINIMAL + "  objective: {maximize: Accuracy, maxLatencyMilliseconds: 300}\n"
    assert parse_manifest(text).spec.objective.minimize is None


MISTAKES = [
    ("kind: SplitDeployment", "kind: Split", "kind", "SplitDeployment"),
    ("tiersplit.dev/v1alpha1", "tiersplit.dev/v1", "apiVersion", "v1alpha1"),
    ("name: plate-reader", "name: Plate", "metadata.name", "lower-case"),
    ("name: plate-reader", f"name: {'a' * 41}", "metadata.name", "40"),
    ("inputs:", "input:", "spec.model.input", "'inputs'"),
    ("memory: 64Mi", "memmory: 64Mi", "spec.tiers[0].memmory", "'memory'"),
    ("memory: 64Mi", "memory: 64MB", "spec.tiers[0].memory", "256Mi"),
    ("memory: 64Mi", "memory: 1Mi", "spec.tiers[0].memory", "16Mi"),
    ("bandwidth: 10M", "bandwidth: 10Mbps", "spec.links[0].bandwidth", "10M"),
    ("bandwidth: 10M", "bandwidth: 0", "spec.links[0].bandwidth", "1k"),
    ("latencyMilliseconds: 40", "latencyMilliseconds: -1", "spec.links[0].latencyMilliseconds", "greater"),
    ("from: edge, to: mdc", "from: edge, to: cloud", "spec.links[0]", "neighbours"),
    ("from: mdc, to: cloud", "from: edge, to: mdc", "spec.links[1]", "twice"),
    ("weightBits: [8, 32]", "weightBits: [8, 31]", "spec.tiers[0].weightBits[1]", "16 or 32"),
    ("weightBits: [8, 32]", "weightBits: [8, 8]", "spec.tiers[0].weightBits[1]", "twice"),
    ("replicas: 2", "replicas: 0", "spec.tiers[2].replicas", "greater"),
    ("replicas: 2", "replicas: 2, placement: EveryNode", "spec.tiers[2].replicas", "EveryNode"),
    ("name: mdc, ", "name: edge,", "spec.tiers[1].name", "taken"),
    ("resultTier: edge", "resultTier: moon", "spec.resultTier", "edge, mdc, cloud"),
    ("maxDrop: 1%", "maxDrop: 1%, min: 70%", "spec.accuracy", "not both"),
    ("maxDrop: 1%", "maxDrop: 101%", "spec.accuracy.maxDrop", "100%"),
    ("maxDrop: 1%", "maxDrop: 0.01", "spec.accuracy.maxDrop", "string"),
    ("minimize: Latency", "minimize: Cost", "spec.objective.minimize", "Throughput"),
    ("minimize: Latency", "minimize: Latency, maximize: Accuracy", "spec.objective", "not both"),
    ("minimize: Latency", "maximize: Accuracy", "spec.objective.maxLatencyMilliseconds", "at least 1"),
    ("minimize: Latency", "maxLatencyMilliseconds: 3", "spec.objective.maxLatencyMilliseconds", "maximize"),
    ("weights: Uri, ", "", "spec.model.source.torch.weights", "weights: Uri"),
    (', weightsUri: "https://example/resnet50.safetensors"', "", "spec.model.source.torch.weightsUri", "where"),
    ("metric: Top1", "metric: mAP", "spec.model.validation.metric", "MeanAveragePrecision"),
    ("metric: Top1", "metric: Function", "spec.model.validation.function", "module:callable"),
    ("metric: Top1", "function: a.b:c", "spec.model.validation.metric", "metric: Function"),
    ("metric: Top1", "metric: Function, function: a.b", "spec.model.validation.function", "module:callable"),
    ("models:resnet50", "models.resnet50", "spec.model.source.torch.factory", "module:callable"),
    ("source: {torch", "source: {onnxUri: a.onnx, torch", "spec.model.source", "2 sources"),
    ("[-1, 3, 224, 224]", "[-1, -1, 224]", "spec.model.inputs[0].shape[1]", "first only"),
    ("wireDatatype: UINT8", "wireDatatype: INT64", "spec.model.inputs[0].wireDatatype", "UINT8 or FP32"),
    ("datatype: FP32", "datatype: float", "spec.model.inputs[0].datatype", "FP32"),
    ("mode: Auto", "mode: auto", "spec.adaptation.mode", "Recommend"),
    ("minGain: 5%", "minGain: 5", "spec.adaptation.minGain", "string"),
    ("pollingPeriodSeconds: 5", "pollingPeriodSeconds: 0", "spec.adaptation.pollingPeriodSeconds", "greater"),
    ("samples: 128", "samples: 0", "spec.model.calibration.samples", "greater"),
    ("rawInput: AnyTier", "rawInput: Nowhere", "spec.rawInput", "FirstTierOnly"),
]


@pytest.mark.parametrize(("right", "wrong", "path", "hint"), MISTAKES)
def test_a_mistake_is_refused_with_its_field_and_what_to_write(right: str, wrong: str, path: str, hint: str) -> None:
    assert right in DESIGN
    with pytest.raises(ManifestError) as caught:
        parse_manifest(DESIGN.replace(right, wrong, 1))
    assert caught.value.path == path
    assert hint in caught.value.reason


def test_early_exits_need_validation_data() -> None:
    with pytest.raises(ManifestError, match=r"earlyExit.mode: Auto needs validation data"):
        parse_manifest(MINIMAL + "  earlyExit: {mode: Auto}\n")


def test_a_torch_source_needs_inputs() -> None:
    with pytest.raises(ManifestError, match=r"spec.model.inputs: a torch source needs them"):
        parse_manifest(MINIMAL.replace("onnxUri: model.onnx", 'torch: {factory: "a:b"}'))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "a: b: c",
        "[" * 20_000,
        "x: " + "{a: " * 40 + "1" + "}" * 40,
        "a: &a [1]\nb: *a",
        "kind: A\nkind: B",
        "x: !!python/object/apply:os.getpid []",
        "x: [" + "1," * 30_000 + "]",
        "a" * 300_000,
        "x: 2024-01-01T99:99:99",
        "? [a]\n: b",
    ],
)
def test_hostile_yaml_is_refused_as_a_manifest_error(text: str) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"absent.yaml: cannot be read"):
        load_manifest(tmp_path / "absent.yaml")


def test_booleans_in_core_objects_stay_booleans_and_off_stays_a_word() -> None:
    text = MINIMAL.replace("{name: edge}", "{name: edge, template: {a: true, b: False, c: off}}")
    assert parse_manifest(text).spec.tiers[0].template == {"a": True, "b": False, "c": "off"}
