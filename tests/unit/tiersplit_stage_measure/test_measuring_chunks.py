"""Measuring a model in chunks because it does not fit, and what happens where even chunks take too much."""

from dataclasses import replace

import pytest

from tests.support.heavy_cnn import WEIGHT_BYTES, heavy_cnn
from tests.support.patience import START_S
from tests.support.small_cnn import small_cnn
from tiersplit_bundle import Bundle
from tiersplit_core.errors import OutOfMemoryError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_import.segments import materialise
from tiersplit_stage.measure import chunks as chunks_module
from tiersplit_stage.measure import segments as segments_module
from tiersplit_stage.measure.segments import measure_segments
from tiersplit_stage.measure.settings import Settings
from tiersplit_stage.measure.whole import measure_layers

SETTINGS = Settings("edge", batches=(1,), budget_s=0.02, timeout_s=START_S)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(small_cnn(tmp_path_factory.mktemp("chunked") / "b"))


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """Eight layers of 5.3 MB."""
    return heavy_cnn(tmp_path_factory.mktemp("heavy") / "b", 8)


@pytest.fixture
def said():
    heard = []
    return heard, heard.append


@pytest.fixture
def asked(monkeypatch):
    """What each process that is started computes; and a way to say of which jobs it needs too much memory for them."""
    started, hungry, real = [], [], chunks_module.run_job

    def run_job(job, timeout_s):
        started.append(job.programs[0].outputs)
        if any(too_much(job) for too_much in hungry):
            raise OutOfMemoryError("the measuring process needs more memory than there is (signal 9)")
        return real(job, timeout_s)

    monkeypatch.setattr(chunks_module, "run_job", run_job)
    return started, hungry.append


def test_chunks_measure_every_layer_once_and_hand_values_on(bundle, said):
    heard, say = said
    profile = measure_layers(bundle, replace(SETTINGS, batches=(1, 2), memory_bytes=52_000), say)
    assert heard == ["batch 1", "batch 2 in 2 chunks"]
    for size, seen in profile.batches.items():
        assert list(seen.layers) == list(bundle.graph.index)
        assert sum(timing.median_s for timing in seen.layers.values()) == pytest.approx(seen.whole.median_s, rel=1e-9)
        assert (seen.chunks, seen.unheld) == (size, {})
    assert profile_from_json(profile_to_json(profile), bundle.graph, bundle.graph_digest) == profile
    assert [path.name for path in bundle.root.parent.iterdir()] == [bundle.root.name]


def test_a_chunk_that_needs_more_than_was_expected_is_divided(bundle, said, asked):
    started, too_much = asked
    too_much(lambda job: len(job.programs[0].outputs) == 1 and job.programs[0].name == "whole")
    profile = measure_layers(bundle, SETTINGS, said[1])
    assert profile.batches[1].chunks == 2
    assert len(started) == 3
    assert said[0] == ["batch 1 in 2 chunks"]


def test_a_layer_that_turns_out_to_need_too_much_is_left_out_by_name_and_others_go_on(bundle, said, asked):
    asked[1](lambda job: job.programs[0].name == "whole" or "b" in job.programs[0].outputs)
    profile = measure_layers(bundle, replace(SETTINGS, memory_bytes=100_000), said[1])
    seen = profile.batches[1]
    assert seen.unheld == {"conv2": 100_001}
    assert "the 97.66 KiB that tier 'edge' has cannot hold conv2 (" in said[0][0]
    # As much as others take for their work, and the sum is still that of the whole.
    assert seen.layers["conv2"].median_s > seen.layers["pool"].median_s > 0
    assert sum(timing.median_s for timing in seen.layers.values()) == pytest.approx(seen.whole.median_s, rel=1e-9)


def test_layers_that_are_known_to_be_too_large_are_not_tried(bundle, said, asked):
    profile = measure_layers(bundle, replace(SETTINGS, memory_bytes=20_000), said[1])
    assert profile.batches[1].unheld == {"add": 24 * 1024}
    assert ("c",) not in asked[0]
    assert said[0][0].endswith("layers left out: the 19.53 KiB that tier 'edge' has cannot hold add (24 KiB) as float")


def test_a_batch_size_at_which_a_layer_becomes_too_large_is_left_out(bundle, said):
    profile = measure_layers(bundle, replace(SETTINGS, batches=(1, 512), memory_bytes=100_000), said[1])
    assert list(profile.batches) == [1]
    assert said[0][-1].startswith(
        "batch 512 and above left out: the 97.66 KiB that tier 'edge' has cannot hold conv1 ("
    )


def test_a_tier_that_can_hold_nothing_is_told_so(bundle, said):
    with pytest.raises(OutOfMemoryError, match=r"the 10 B that tier 'edge' has cannot hold conv1 \(.*fc \(392 B\) as"):
        measure_layers(bundle, replace(SETTINGS, memory_bytes=10), said[1])


def test_a_process_that_asks_for_more_than_its_container_has_gives_up_and_smaller_chunks_are_measured(heavy, said):
    """Nothing is ended by the system: the limit of what a process may ask for stands below the container's."""
    settings = replace(SETTINGS, room_bytes=0)
    profile = measure_layers(heavy, settings, said[1])
    seen = profile.batches[1]
    assert 1 < seen.chunks <= 8
    assert seen.unheld == {}
    assert WEIGHT_BYTES < seen.memory_bytes < 8 * WEIGHT_BYTES


def test_segments_that_do_not_fit_together_are_measured_one_after_the_other(tmp_path, monkeypatch):
    path = small_cnn(tmp_path / "b")
    graph = Bundle.open(path).graph
    specs = segments_of(graph, [Plan(dict(zip(graph.index, ("a", "b", "b", "c", "c"), strict=True)))])
    bundle, real, sizes = materialise(path, specs), segments_module.run_job, []

    def run_job(job, timeout_s):
        sizes.append(len(job.programs))
        if len(job.programs) > 1:
            raise OutOfMemoryError("the measuring process needs more memory than there is (signal 9)")
        return real(job, timeout_s)

    monkeypatch.setattr(segments_module, "run_job", run_job)
    found = measure_segments(bundle, SETTINGS, lambda _: None)
    assert sizes == [3, 1, 2, 1, 1]
    assert found[1].keys() == {segment.digest for segment in bundle.segments}
    monkeypatch.setattr(segments_module, "run_job", lambda job, _: (_ for _ in ()).throw(OutOfMemoryError("too much")))
    with pytest.raises(OutOfMemoryError):
        measure_segments(bundle, SETTINGS, lambda _: None)
