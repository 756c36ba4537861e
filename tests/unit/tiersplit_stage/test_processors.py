"""What a limit of the processor makes of work."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_stage.processors import Quota, quota, spent_by
from tiersplit_stage.stopwatch import steady_s

SHARES = st.floats(0.01, 1.0)
PERIODS = st.sampled_from([0.01, 0.1])


@given(SHARES, PERIODS, st.floats(0, 10))
def test_work_after_a_rest_is_done_sooner_by_what_is_at_hand_at_most(share, period_s, spent_s):
    granted = Quota(share, period_s)
    saved_s = granted.steady_s(spent_s) - granted.rested_s(spent_s)
    assert -1e-12 <= saved_s <= period_s * (1 - share) + 1e-9
    assert granted.rested_s(spent_s) >= spent_s * (1 - 1e-12)


def test_what_a_period_holds_passes_unhindered_after_a_rest():
    assert Quota(0.15, 0.01).rested_s(0.0015) == pytest.approx(0.0015)
    assert Quota(0.15, 0.01).rested_s(0.003) == pytest.approx(0.0015 + 0.01)


BUSY = "import time\nwhile time.process_time() < 0.05: pass\nprint(flush=True)\ninput()"


def test_what_a_process_spends_is_seen_from_outside_while_it_runs():
    command, pipe = [sys.executable, "-c", BUSY], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as busy:
        assert busy.stdout.readline() == "\n"
        assert spent_by(busy.pid) >= 0.05
        busy.communicate("\n")
    before_s, spent_s, after_s = time.process_time(), spent_by(os.getpid()), time.process_time()
    assert before_s <= spent_s <= after_s


@pytest.mark.parametrize(
    ("granted", "expected"),
    [(None, 0.002), (Quota(0.1, 0.01), 0.01), (Quota(2.0, 0.1), 0.002), (Quota(1.5, 0.1), 0.002)],
)
def test_a_run_takes_its_processor_seconds_over_the_share_where_that_is_longer(granted, expected):
    assert steady_s(granted, 0.002, 0.001) == pytest.approx(expected)


def test_both_versions_of_cgroups_say_share_and_period(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("1500\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("10000\n")
    assert quota(tmp_path) == Quota(0.15, 0.01)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert quota(tmp_path) == Quota(0.5, 0.1)
