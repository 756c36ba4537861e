"""The Job that profiles a tier: what it pulls, measures and pushes, and within which bounds."""

import json
from types import SimpleNamespace

import pytest

from tests.support.oci_registry import oci_registry, proxy
from tests.support.quantised_cnn import quantised_cnn
from tests.support.small_cnn import small_cnn
from tiersplit_bundle import Bundle, media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_core.errors import OperationError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.profile.json import profile_from_json
from tiersplit_core.profile.refine import merge_segments
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.segments import materialise
from tiersplit_stage import measure_job
from tiersplit_stage.measure.room import room_bytes
from tiersplit_stage.measure.settings import Settings

MIB = 2**20


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="module")
def pushed(running, tmp_path_factory):
    """A bundle with three segments in the registry: its reference, and itself."""
    path = small_cnn(tmp_path_factory.mktemp("small") / "small.bundle")
    graph = Bundle.open(path).graph
    tiers = dict(zip(graph.index, ("a", "b", "b", "c", "c"), strict=True))
    bundle = materialise(path, segments_of(graph, [Plan(tiers)]))
    reference = Reference(running.host, "small", None, bundle.digest)
    with Registry(reference, RegistryAccess(plain_http=True)) as registry:
        registry.push_bundle(bundle, "ready")
    return reference, bundle


@pytest.fixture
def run(tmp_path, monkeypatch):
    file = tmp_path / "termination-log"
    monkeypatch.setenv("TIERSPLIT_TERMINATION_FILE", str(file))

    def run(reference, tag, *more):
        where = ["--bundle", str(reference), "--push-tag", tag, "--registry-plain-http"]
        code = measure_job.main([*where, "--tier", "edge", "--threads", "1", "--budget-s", "0.02", *more])
        return code, json.loads(file.read_text())

    return run


def profile_at(reference, tag, graph=None):
    with Registry(reference, RegistryAccess(plain_http=True)) as registry:
        manifest = registry.manifest(tag)
        assert manifest.document["annotations"]["tiersplit.tier"] == "edge"
        return profile_from_json(json.loads(registry.read_artifact(media.PROFILE, tag)), graph), manifest.digest


def test_layers_and_then_segments_make_a_profile_of_a_tier(pushed, run):
    reference, bundle = pushed
    code, told = run(reference, "profile-1", "--batches", "1,2")
    layers, digest = profile_at(reference, "profile-1", bundle.graph)
    assert (code, told) == (0, {"digest": digest})
    assert sorted(layers.batches) == [1, 2]
    assert layers.graph == bundle.graph_digest
    first, _, last = bundle.segments
    assert run(reference, "profile-2", "--batches", "1,2", "--segments", f"{first.id},{last.digest}")[0] == 0
    segments, _ = profile_at(reference, "profile-2")
    both = merge_segments(layers, {size: seen.segments for size, seen in segments.batches.items()})
    for seen in both.batches.values():
        assert seen.segments.keys() == {first.digest, last.digest}
        assert all(timing.median_s > 0 for timing in seen.segments.values())


@pytest.fixture(scope="module")
def calibrated(running, tmp_path_factory):
    """A bundle with quantised forms in the registry: its reference, and itself."""
    bundle = quantised_cnn(tmp_path_factory.mktemp("calibrated") / "b")
    reference = Reference(running.host, "calibrated", None, bundle.digest)
    with Registry(reference, RegistryAccess(plain_http=True)) as registry:
        registry.push_bundle(bundle, "ready")
    return reference, bundle


def test_layers_are_measured_in_the_forms_that_are_asked_for(calibrated, run):
    reference, bundle = calibrated
    for tag, more, forms in [
        ("profile-all", (), set(bundle.forms)),
        ("profile-none", ("--forms", "none"), set()),
        ("profile-int8", ("--forms", "int8"), {RunForm.INT8}),
    ]:
        assert run(reference, tag, *more)[0] == 0
        profile, _ = profile_at(reference, tag, bundle.graph)
        assert profile.batches[1].forms.keys() == forms
        assert profile.serving is not None


def test_segments_alone_are_measured_without_pulling_the_whole_model(pushed, running, run):
    _, bundle = pushed
    with proxy(running.host) as front:
        behind = Reference(front.host, "small", None, bundle.digest)
        assert run(behind, "profile-3", "--segments", bundle.segments[0].id)[0] == 0
        pulled = {line.rpartition("/")[2] for line in front.seen if line.startswith("GET") and "/blobs/" in line}
    model = next(entry.digest for entry in bundle.layers if entry.media_type == media.MODEL)
    assert bundle.segments[0].digest in pulled
    assert model not in pulled


def test_a_job_that_runs_again_measures_nothing_and_says_the_same(pushed, run, monkeypatch):
    reference, _ = pushed
    first = run(reference, "profile-4")
    monkeypatch.setattr("tiersplit_stage.measure_job.measure_layers", None)
    assert run(reference, "profile-4") == first


def test_a_model_that_does_not_fit_is_refused_with_what_to_write(pushed, run):
    code, told = run(pushed[0], "profile-5", "--memory-bytes", "100")
    assert (code, told["retry"]) == (2, False)
    assert "the 100 B that tier 'edge' has cannot hold conv1 (" in told["error"]
    assert "raise the tier's memory" in told["error"]


def test_a_model_that_fits_in_chunks_alone_is_measured_and_layers_that_fit_nowhere_are_said(calibrated, run, capfd):
    reference, bundle = calibrated
    assert run(reference, "profile-chunks", "--memory-bytes", "20000")[0] == 0
    profile, _ = profile_at(reference, "profile-chunks", bundle.graph)
    seen = profile.batches[1]
    assert (seen.chunks, seen.unheld) == (2, {"add": 24 * 1024})
    assert [timings.keys() for timings in seen.forms.values()] == [bundle.graph.index.keys() - {"add"}] * 2
    assert "tier 'edge' can hold 'add' in no form: as it is it takes 24 KiB" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--segments", "nothing"), "no segment 'nothing'"),
        (("--batches", "0"), "batch sizes"),
        (("--batches", "x"), "batch"),
        (("--forms", "int4"), "write int8, packed"),
        (("--forms", "int8"), "--calibration"),
    ],
)
def test_wrong_arguments_are_told_and_not_tried_again(pushed, run, options, reason):
    code, told = run(pushed[0], "profile-6", *options)
    assert (code, told["retry"]) == (2, False)
    assert reason in told["error"]


# Room


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


ACTIVE = f"file_mapped {20 * MIB}\ninactive_file {40 * MIB}\nactive_file {20 * MIB}\n"
STAT = f"anon 5\ninactive_file {40 * MIB}\n"


@pytest.mark.parametrize(
    ("files", "room"),
    [
        ({}, None),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": str(2**63 - 4096)}, None),
        ({"memory.max": f"{256 * MIB}\n", "memory.current": f"{60 * MIB}\n"}, 84 * MIB),
        ({"memory.max": str(256 * MIB), "memory.current": str(100 * MIB), "memory.stat": STAT}, 84 * MIB),
        (
            {"memory/memory.limit_in_bytes": str(256 * MIB), "memory/memory.usage_in_bytes": str(60 * MIB)},
            84 * MIB,
        ),
        ({"memory.max": str(256 * MIB), "memory.current": str(120 * MIB), "memory.stat": ACTIVE}, 84 * MIB),
        ({"memory.max": str(64 * MIB), "memory.current": str(60 * MIB)}, 0),
    ],
)
def test_what_a_container_leaves_for_a_model_is_known(tmp_path, files, room):
    assert room_bytes(write(tmp_path, files)) == room


def test_where_serving_cannot_be_measured_the_layers_are_kept(monkeypatch, capsys):
    def broken(*_):
        raise OperationError("a measuring stage ended")

    monkeypatch.setattr("tiersplit_stage.measure.serving.measure_serving", broken)
    known = SimpleNamespace(graph=SimpleNamespace(input_bytes=4))
    assert measure_job._serving(Settings("edge"), known) is None
    assert "serving is left out: a measuring stage ended" in capsys.readouterr().err
