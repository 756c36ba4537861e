"""A tier whose container cannot hold the model as it is: measured there all the same, and planned in packed form."""

import json
import sys

import pytest
from typer.testing import CliRunner

from tests.support.cluster_gate import need
from tests.support.heavy_cnn import WEIGHT_BYTES, quantised_heavy_cnn
from tests.support.memory_limit import limited, missing
from tests.support.oci_registry import oci_registry
from tests.support.patience import START_S
from tiersplit_bundle import media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_cli.main import build_app
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.profile.refine import emulate
from tiersplit_core.quantization.forms import RunForm

LAYERS, BUDGET, CONTAINER = 14, 17 * 10**6, 192 * 2**20
"""74 MB of weights, 19 MB as bytes, 9 MB packed; what the tier's layers may take; what its container may."""
TAG = "profile-edge"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The bundle, the tier's profile, what the Job said, and how many of its processes the system ended."""
    need("a memory limit", missing())
    bundle = quantised_heavy_cnn(tmp_path_factory.mktemp("heavy") / "b", LAYERS)
    with oci_registry(tmp_path_factory.mktemp("registry")) as running, limited(CONTAINER, "profile") as container:
        reference = Reference(running.host, "heavy", None, bundle.digest)
        with Registry(reference, RegistryAccess(plain_http=True)) as registry:
            registry.push_bundle(bundle, "ready")
            done = container.run(job(reference), timeout=5 * START_S)
            assert done.returncode == 0, done.stderr
            found = json.loads(registry.read_artifact(media.PROFILE, TAG))
            return bundle, profile_from_json(found, bundle.graph, bundle.graph_digest), done.stderr, container.kills


def job(reference):
    where = ["--bundle", str(reference), "--push-tag", TAG, "--registry-plain-http", "--tier", "edge"]
    how = ["--threads", "1", "--batches", "1,2", "--budget-s", "0.05", "--memory-bytes", str(BUDGET)]
    return [sys.executable, "-m", "tiersplit_stage.measure_job", *where, *how]


def test_every_layer_is_measured_in_every_form_and_no_process_is_ended(measured):
    bundle, profile, said, kills = measured
    assert kills == 0
    assert sorted(profile.batches) == [1, 2]
    for size, seen in profile.batches.items():
        assert seen.chunks == 5
        assert seen.unheld == {}
        assert seen.layers.keys() == bundle.graph.index.keys()
        assert {form: timings.keys() for form, timings in seen.forms.items()} == dict.fromkeys(
            (RunForm.INT8, RunForm.PACKED), bundle.graph.index.keys()
        )
        assert f"int8 at batch {size} in 2 chunks" in said
        assert f"packed at batch {size}\n" in said


def test_what_chunks_took_is_the_seconds_and_the_memory_of_the_profile(measured):
    _, profile, _, _ = measured
    for seen in profile.batches.values():
        assert sum(timing.median_s for timing in seen.layers.values()) == pytest.approx(seen.whole.median_s, rel=1e-9)
        assert all(timing.median_s > 0 for timing in (*seen.layers.values(), *seen.forms[RunForm.PACKED].values()))
        # Three layers at a time, and what kernels need for a moment.
        assert 3 * WEIGHT_BYTES < seen.memory_bytes < 5 * WEIGHT_BYTES


def test_the_plan_that_fits_the_tier_is_found_with_the_seconds_that_were_measured_there(measured, tmp_path):
    bundle, profile, _, _ = measured
    files = [tmp_path / "edge.json", tmp_path / "cloud.json"]
    for file, one in zip(files, (profile, emulate(profile, "cloud", 2.0)), strict=True):
        file.write_text(json.dumps(profile_to_json(one)))
    given = ["--bundle", bundle.root, "--profile", files[0], "--profile", files[1], "--bandwidth", "1M"]
    limits = ["--memory", f"edge={BUDGET}", "--memory", "cloud=1"]
    bits = ["--weight-bits", "4,8", "--max-distortion", "1e9"]
    result = CliRunner().invoke(build_app(), ["plan", *map(str, (*given, *limits, *bits)), "-o", "json"])
    assert result.exception is None, result.exception
    answer = json.loads(result.stdout)
    assert (answer["form"], set(answer["placement"].values())) == ("packed", {"edge"})
    (stage,) = answer["stages"]
    assert stage["memory_bytes"] <= BUDGET < LAYERS * WEIGHT_BYTES / 4
    seen = profile.batches[1]
    timings = {**seen.layers, **{name: seen.forms[RunForm.PACKED][name] for name in answer["widths"]}}
    assert stage["compute_s"] == pytest.approx(sum(timing.median_s for timing in timings.values()), rel=1e-6)
