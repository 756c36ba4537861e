"""What a manifest means on one machine."""

import pytest

from tiersplit_api.v1alpha1 import parse_manifest
from tiersplit_core.errors import ManifestError
from tiersplit_local.settings import LocalSettings, local_settings

MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {name: small, annotations: {%s}}
spec:
  model: {source: {onnxUri: model.onnx}}
  tiers: [{name: edge, resources: {limits: {cpu: 250m}}}, {name: mdc}, {name: cloud}]
"""


def read(annotations: str = "", threads: int = 1) -> LocalSettings:
    return local_settings(parse_manifest(MANIFEST % annotations), threads)


@pytest.mark.parametrize(("threads", "slowdown"), [(1, 4.0), (2, 8.0)])
def test_less_than_a_cpu_for_each_thread_slows_a_tier_down(threads: int, slowdown: float) -> None:
    found = read(threads=threads)
    assert found.slowdowns == {"edge": slowdown, "mdc": 1.0, "cloud": 1.0}
    assert found.threads == threads


def test_the_annotation_overrides_the_cpu_limit() -> None:
    found = read('tiersplit.dev/local-slowdown: "edge=8, mdc=2.5"')
    assert found.slowdowns == {"edge": 8.0, "mdc": 2.5, "cloud": 1.0}


@pytest.mark.parametrize(
    ("annotations", "batches"),
    [
        ("", (1,)),
        ("tiersplit.dev/batches: '1,4'", (1, 4)),
        ("tiersplit.dev/local-batches: '2'", (2,)),
        ("tiersplit.dev/batches: '1,4', tiersplit.dev/local-batches: '2'", (2,)),
    ],
)
def test_batch_sizes_are_those_of_every_controller_unless_this_machine_has_its_own(
    annotations: str, batches: tuple[int, ...]
) -> None:
    assert read(annotations).intent.batches == batches


@pytest.mark.parametrize(
    ("annotation", "hint"),
    [
        ('tiersplit.dev/local-slowdown: "moon=2"', "edge=8"),
        ('tiersplit.dev/local-slowdown: "edge=0.5"', "1 to 1000"),
        ("tiersplit.dev/local-batches: many", "1,8,32"),
    ],
)
def test_what_cannot_be_done_here_is_refused_with_what_can(annotation: str, hint: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(annotation)
    assert annotation.partition(":")[0] in caught.value.path
    assert hint in caught.value.reason


def test_an_amount_of_cpu_that_is_none_is_refused() -> None:
    text = (MANIFEST % "").replace("250m", "fast")
    with pytest.raises(ManifestError, match=r"spec.tiers\[0\].resources.limits.cpu"):
        local_settings(parse_manifest(text), 1)
