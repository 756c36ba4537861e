"""What a manifest asks for, in numbers."""

import pytest

from tiersplit_api.v1alpha1 import parse_manifest
from tiersplit_control.intent import UNLIMITED_BPS, DeclaredLink, Intent, intent_of
from tiersplit_core.adaptation.policy import Mode
from tiersplit_core.errors import ManifestError
from tiersplit_core.planning.problem import Link, Objective, Tier

MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {name: small, annotations: {%s}}
spec:
  model: {source: {onnxUri: model.onnx}}
  tiers: [{name: edge, memory: 64Mi}, {name: mdc}, {name: cloud}]
  links: [{from: edge, to: mdc, bandwidth: 10M, latencyMilliseconds: 40}]
"""


def read(annotations: str = "", extra: str = "") -> Intent:
    return intent_of(parse_manifest(MANIFEST % annotations + extra))


def test_tiers_links_and_policy_are_taken_over() -> None:
    found = read(extra="  adaptation: {mode: Recommend, minGain: 2.5%, cooldownPeriodSeconds: 7}\n")
    assert found.tiers == (Tier("edge", 64 * 2**20), Tier("mdc"), Tier("cloud"))
    assert found.tier_names == ("edge", "mdc", "cloud")
    assert found.links == (DeclaredLink("edge", "mdc", 1e7, 0.04), DeclaredLink("mdc", "cloud", None, 0.0))
    assert (found.policy.mode, found.policy.min_gain, found.policy.cooldown_s) == (Mode.RECOMMEND, 0.025, 7.0)
    assert found.result_returns
    assert found.batches == (1,)


def test_a_link_without_a_declared_bandwidth_is_planned_as_nearly_unlimited() -> None:
    declared, silent = read().links
    assert declared.as_planned == Link("edge", "mdc", 1e7, 0.04)
    assert silent.as_planned == Link("mdc", "cloud", UNLIMITED_BPS, 0.0)


def test_batch_sizes_are_sorted_and_unique() -> None:
    assert read('tiersplit.dev/batches: "8, 1,8"').batches == (1, 8)


def test_what_is_for_one_machine_alone_is_not_asked_of_a_cluster() -> None:
    assert read("tiersplit.dev/local-batches: '8'").batches == (1,)


def test_activations_travel_as_they_are_unless_compression_is_asked_for() -> None:
    assert read().encoding == "raw"
    assert read("tiersplit.dev/wire-encoding: zstd").encoding == "zstd"


def test_throughput_is_an_objective() -> None:
    assert read(extra="  objective: {minimize: Throughput}\n").objective is Objective.THROUGHPUT


def test_a_result_that_is_not_needed_at_the_first_tier_has_no_way_back() -> None:
    assert not read(extra="  resultTier: cloud\n").result_returns


@pytest.mark.parametrize(
    ("annotations", "extra", "path", "hint"),
    [
        ("", "  objective: {minimize: EdgeMemory}\n", "spec.objective", "Throughput"),
        ("", "  objective: {maximize: Accuracy, maxLatencyMilliseconds: 9}\n", "spec.objective", "Latency"),
        ('tiersplit.dev/batches: "0"', "", "annotations[tiersplit.dev/batches]", "1,8,32"),
        ('tiersplit.dev/batches: "many"', "", "annotations[tiersplit.dev/batches]", "1,8,32"),
        (f'tiersplit.dev/batches: "{"9" * 5000}"', "", "annotations[tiersplit.dev/batches]", "1,8,32"),
        (f'tiersplit.dev/batches: "{",".join(map(str, range(1, 18)))}"', "", "tiersplit.dev/batches", "at most 16"),
        ("tiersplit.dev/wire-encoding: jpeg", "", "wire-encoding", "raw, zstd, lz4"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(annotations: str, extra: str, path: str, hint: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(annotations, extra)
    assert path in caught.value.path
    assert hint in caught.value.reason


def test_a_single_tier_is_no_split() -> None:
    text = (MANIFEST % "").replace(", {name: mdc}, {name: cloud}", "").split("  links:")[0]
    with pytest.raises(ManifestError, match="second one"):
        intent_of(parse_manifest(text))
