"""The parts of the cluster's harness that need no cluster."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster import cgroups, layout, links, processes
from tests.cluster.layout import NODES, ClusterError
from tests.cluster.processes import Process

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


@given(st.integers(1, 10**6), st.sampled_from([("k", 1e3), ("Mbit", 1e6), ("G", 1e9), ("", 1.0), ("bit", 1.0)]))
def test_a_bandwidth_is_read_in_the_unit_that_it_is_written_in(number: int, unit: tuple[str, float]) -> None:
    assert links.parse_bandwidth(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize("written", ["", "fast", "-1M", "2 mbit", "2MiB", "1e6", "nan"])
def test_a_bandwidth_that_cannot_be_read_is_refused_with_what_to_write(written: str) -> None:
    with pytest.raises(ClusterError, match="write for example 2mbit"):
        links.parse_bandwidth(written)


@pytest.mark.parametrize("bandwidth_bps", [0, -1.0, float("nan")])
def test_a_link_without_bandwidth_is_refused(bandwidth_bps: float) -> None:
    with pytest.raises(ClusterError, match="bits per second"):
        links.set_link("edge-a", "mdc", bandwidth_bps)


def test_a_link_of_a_node_with_itself_is_refused() -> None:
    with pytest.raises(ClusterError, match="joins two nodes"):
        links.set_link("mdc", "mdc", 1e6)


def test_an_unknown_node_is_refused_with_the_ones_that_there_are() -> None:
    with pytest.raises(ClusterError, match="edge-a, edge-b, mdc, cloud"):
        layout.node("fog")


@pytest.mark.parametrize("count", [2, 3, 4, 5, 16])
def test_what_pods_may_request_never_exceeds_a_core(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)))
    requested = dict.fromkeys(range(count), 0.0)
    for node in NODES:
        for core in cgroups.cores(node):
            requested[core] += node.core_share
    assert max(requested.values()) <= 1 + 1e-9


@pytest.mark.parametrize("count", [2, 3, 4, 5, 16])
def test_the_cloud_shares_no_core(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)))
    *others, cloud = NODES
    assert set(cgroups.cores(cloud)).isdisjoint(core for node in others for core in cgroups.cores(node))


def test_a_process_that_ended_is_not_alive_even_before_it_is_reaped() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = Process.of(child.pid)
    assert process.is_alive
    process.end(signal.SIGKILL)
    assert not process.is_alive
    child.wait()
    assert not process.is_alive


def test_another_process_with_the_same_pid_is_neither_alive_nor_ended() -> None:
    child = subprocess.Popen(["sleep", "60"])
    earlier = replace(Process.of(child.pid), start_ticks=1)
    assert not earlier.is_alive
    earlier.end(signal.SIGKILL)
    assert child.poll() is None
    child.kill()
    child.wait()


def test_a_process_of_an_earlier_boot_is_not_alive() -> None:
    assert not replace(Process.of(os.getpid()), boot="another").is_alive


def test_a_process_that_does_not_heed_sigterm_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        Process.of(child.pid).end(timeout_s=0.2)
        assert child.wait() == -signal.SIGKILL


def test_a_component_that_was_never_started_is_named_with_what_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(ClusterError, match="nothing called 'etcd' was started"):
        processes.start_again("etcd")
