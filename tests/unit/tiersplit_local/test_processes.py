"""Child processes: restarted when they end, ended when asked, never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import psutil

from tests.support.local_run import wait_for
from tests.support.patience import PATIENCE_S
from tiersplit_control.intent import DeclaredLink
from tiersplit_local.links import EmulatedLink
from tiersplit_local.processes import MIN_BACKOFF_S, Child

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)
    assert condition(), what


def test_a_killed_child_is_started_again_with_a_new_pid(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Child("sleeper", SLEEP, tmp_path / "log", {})
        await child.start()
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.pid not in {None, first}, "restart")
        last = child.pid
        await child.stop()
        assert child.pid is None
        assert last is not None
        assert not psutil.pid_exists(last)

    asyncio.run(scenario())


def test_a_child_that_keeps_failing_is_restarted_ever_more_slowly(tmp_path: Path) -> None:
    async def scenario() -> list[float]:
        child, seen = Child("failing", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log", {}), []
        began = asyncio.get_running_loop().time()
        await child.start()
        for count in range(1, 4):
            await until(lambda wanted=count: child.restarts >= wanted, "restart")
            seen.append(asyncio.get_running_loop().time() - began)
        await child.stop()
        return seen

    # A busy machine makes a restart later, never earlier: pauses that double bound each from below.
    bounds = accumulate(MIN_BACKOFF_S * 2**count for count in range(1, 4))
    assert all(at >= bound for at, bound in zip(asyncio.run(scenario()), bounds, strict=True))


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )

    async def scenario() -> None:
        child = Child("stubborn", [sys.executable, "-c", code], tmp_path / "log", {})
        await child.start()
        await until(lambda: "up" in child.last_words(), "started")
        pid = child.pid
        await child.stop(grace_s=0.2)
        assert pid is not None
        assert not psutil.pid_exists(pid)

    asyncio.run(scenario())


def test_the_environment_and_the_last_words_reach_the_log(tmp_path: Path) -> None:
    code = "import os, time; print('said', os.environ['WORD'], flush=True); time.sleep(600)"

    async def scenario() -> None:
        child = Child("talker", [sys.executable, "-c", code], tmp_path / "log", {"WORD": "hello"})
        await child.start()
        await until(lambda: child.last_words() == "said hello", "words")
        await child.stop()

    asyncio.run(scenario())


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "from tiersplit_local.processes import tied\n"
        "child = subprocess.Popen(tied([sys.executable, '-c', 'import time; time.sleep(600)']))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.kill()
    parent.wait(PATIENCE_S)
    wait_for(lambda: not psutil.pid_exists(child), PATIENCE_S, "the child ends")


def test_a_relay_that_died_comes_back_at_the_same_address_with_the_same_shape() -> None:
    async def scenario() -> None:
        link = EmulatedLink(DeclaredLink("edge", "mdc", 1e7, 0.001))
        await link.start()
        address, pid = link.address, link.pid
        await link.reshape(5e6, 0.002)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: link.restarts == 1 and link.pid not in {None, pid}, "restart")
        await until(lambda: link.address == address, "same address")
        assert await link.passed_bytes() == (0, 0)
        assert (link.link.bandwidth_bps, link.link.latency_s) == (5e6, 0.002)
        await link.stop()

    asyncio.run(scenario())
