"""What a manifest means on one machine."""

import pytest

from tiersplit_api.v1alpha1 import parse_manifest
from tiersplit_core.adaptation.policy import Mode
from tiersplit_core.errors import ManifestError
from tiersplit_core.planning.problem import Objective
from tiersplit_local.settings import LocalLink, local_settings

MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {name: small, annotations: {%s}}
spec:
  model: {source: {onnxUri: model.onnx}}
  tiers: [{name: edge, memory: 64Mi, resources: {limits: {cpu: 250m}}}, {name: mdc}, {name: cloud}]
  links: [{from: edge, to: mdc, bandwidth: 10M, latencyMilliseconds: 40}]
"""


def read(annotations: str = "", extra: str = "", threads: int = 1):
    return local_settings(parse_manifest(MANIFEST % annotations + extra), threads)


def test_tiers_links_and_policy_are_taken_over() -> None:
    found = read(extra="  adaptation: {mode: Recommend, minGain: 2.5%, cooldownPeriodSeconds: 7}\n")
    assert [(tier.name, tier.memory_bytes) for tier in found.tiers] == [
        ("edge", 64 * 2**20),
        ("mdc", None),
        ("cloud", None),
    ]
    assert found.links == (LocalLink("edge", "mdc", 1e7, 0.04), LocalLink("mdc", "cloud", None, 0.0))
    assert (found.policy.mode, found.policy.min_gain, found.policy.cooldown_s) == (Mode.RECOMMEND, 0.025, 7.0)
    assert found.result_returns
    assert found.batches == (1,)


@pytest.mark.parametrize(("threads", "slowdown"), [(1, 4.0), (2, 8.0)])
def test_less_than_a_cpu_for_each_thread_slows_a_tier_down(threads: int, slowdown: float) -> None:
    assert [tier.slowdown for tier in read(threads=threads).tiers] == [slowdown, 1.0, 1.0]


def test_the_annotation_overrides_the_cpu_limit() -> None:
    found = read('tiersplit.dev/local-slowdown: "edge=8, mdc=2.5"')
    assert [tier.slowdown for tier in found.tiers] == [8.0, 2.5, 1.0]


def test_batch_sizes_are_sorted_and_unique() -> None:
    assert read('tiersplit.dev/local-batches: "8, 1,8"').batches == (1, 8)


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
        ('tiersplit.dev/local-slowdown: "moon=2"', "", "local-slowdown", "edge=8"),
        ('tiersplit.dev/local-slowdown: "edge=0.5"', "", "local-slowdown", "1 to 1000"),
        ('tiersplit.dev/local-batches: "0"', "", "local-batches", "1,8,32"),
        ('tiersplit.dev/local-batches: "many"', "", "local-batches", "1,8,32"),
        ("tiersplit.dev/wire-encoding: jpeg", "", "wire-encoding", "raw, zstd, lz4"),
    ],
)
def test_what_cannot_be_done_here_is_refused_with_what_can(annotations: str, extra: str, path: str, hint: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(annotations, extra)
    assert path in caught.value.path
    assert hint in caught.value.reason


def test_an_amount_of_cpu_that_is_none_is_refused() -> None:
    text = (MANIFEST % "").replace("250m", "fast")
    with pytest.raises(ManifestError, match=r"spec.tiers\[0\].resources.limits.cpu"):
        local_settings(parse_manifest(text), 1)
