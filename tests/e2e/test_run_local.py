"""`tiersplit run` with real processes: it answers rightly, adapts, survives losses and leaves nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.support.local_run import LocalRun, environment, reference_answers, running, wait_for
from tests.support.patience import PATIENCE_S, START_S
from tiersplit_wire.client import InferenceClient

pytestmark = pytest.mark.slow
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    with running(tmp_path_factory.mktemp("local")) as found:
        yield found


def current_layers(run: LocalRun) -> dict[str, int]:
    status = run.status()
    return next((plan["layers"] for plan in status["plans"] if plan["current"]), {})


def fell_back_to_the_edge(run: LocalRun) -> bool:
    """Of two links that die together one may be noticed first: the plan in between is no end yet."""
    return run.status()["state"] == "Fallback" and current_layers(run) == {"edge": 10, "mdc": 0, "cloud": 0}


def settle(run: LocalRun) -> None:
    """Bring links and pins back to what the manifest says, and wait until all plans can be chosen again."""
    run.ask(pin=None)
    run.ask(link={"from": "edge", "to": "mdc", "bandwidth": "100M", "latency_s": 0.001})
    run.ask(link={"from": "mdc", "to": "cloud", "bandwidth": "200M", "latency_s": 0.001})
    wait_for(lambda: all(plan["selectable"] for plan in run.status()["plans"]), START_S, "all plans verified")
    wait_for(lambda: current_layers(run).get("cloud"), START_S, "the cloud is used")


class Load:
    """Requests one after the other until stopped; every answer is compared with the unsplit model's."""

    def __init__(self, run: LocalRun, timeout_s: float = PATIENCE_S) -> None:
        self.images, self.expected = reference_answers(run.folder, 8)
        self.answered, self.wrong, self.plans = 0, 0, Counter[str]()
        self.failures: list[str] = []
        self._head, self._timeout_s = run.head, timeout_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with InferenceClient(self._head) as client:
            i = 0
            while not self._stop.is_set():
                i = (i + 1) % len(self.images)
                try:
                    reply = client.infer("tiny", {"image": self.images[i : i + 1]}, timeout_s=self._timeout_s)
                except Exception as error:
                    self.failures.append(str(error))
                    continue
                self.answered += 1
                self.plans[str(reply.parameters["plan"])] += 1
                (output,) = reply.outputs.values()
                self.wrong += int(not np.allclose(output[0], self.expected[i], atol=TOLERANCE))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def more(self, count: int) -> None:
        """Wait until so many more requests were answered."""
        target = self.answered + count
        wait_for(lambda: self.answered >= target, START_S, f"{count} more answers; {self.failures[-1:]}")


def test_it_answers_like_the_unsplit_model(run: LocalRun) -> None:
    settle(run)
    images, expected = reference_answers(run.folder, 5)
    with InferenceClient(run.head) as client:
        (output,) = client.infer("tiny", {"image": images}).outputs.values()
    np.testing.assert_allclose(output, expected, atol=TOLERANCE)


def test_triton_s_stock_client_is_answered(run: LocalRun) -> None:
    settle(run)
    script = (
        "import sys, numpy as np, tritonclient.grpc as triton\n"
        "client = triton.InferenceServerClient(sys.argv[1])\n"
        "given = triton.InferInput('image', [1, 3, 32, 32], 'FP32')\n"
        "given.set_data_from_numpy(np.zeros((1, 3, 32, 32), np.float32))\n"
        "assert client.is_model_ready('tiny')\n"
        "result = client.infer('tiny', [given])\n"
        "print(result.get_response().outputs[0].shape)\n"
    )
    command = [sys.executable, "-c", script, run.head]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 10]"


def test_a_slow_link_brings_the_layers_to_the_edge_and_a_fast_one_brings_them_back(run: LocalRun) -> None:
    settle(run)
    with Load(run) as load:
        load.more(10)
        said = run.command("link", "set", "edge:mdc", "--bandwidth", "50k")
        assert "edge:mdc 50 kbps" in said
        wait_for(lambda: current_layers(run).get("edge"), START_S, "layers on the edge")
        run.command("link", "set", "edge:mdc", "--bandwidth", "100M")
        wait_for(lambda: not current_layers(run).get("edge"), START_S, "layers off the edge again")
        load.more(5)
    assert (load.failures, load.wrong) == ([], 0)
    reasons = [event["reason"] for event in run.status()["history"]]
    assert any("better" in reason for reason in reasons)


def test_a_dead_link_falls_back_to_the_edge_and_returns_without_losing_a_request(run: LocalRun) -> None:
    settle(run)
    with Load(run) as load:
        load.more(5)
        run.ask(link={"from": "edge", "to": "cloud", "bandwidth": "0"})
        wait_for(lambda: fell_back_to_the_edge(run), START_S, "fallback")
        load.more(3)
        run.ask(link={"from": "edge", "to": "cloud", "bandwidth": "100M"})
        wait_for(lambda: current_layers(run).get("cloud"), START_S, "return")
        load.more(5)
    assert (load.failures, load.wrong) == ([], 0)
    verdicts = [event["verdict"] for event in run.status()["history"]]
    assert "fallback" in verdicts
    assert "return" in verdicts


@pytest.mark.parametrize("tier", ["mdc", "cloud"])
def test_a_killed_stage_is_replaced_and_its_plans_return_after_their_golden_check(run: LocalRun, tier: str) -> None:
    settle(run)
    state = next(found for found in run.status()["tiers"] if found["name"] == tier)
    with Load(run) as load:
        load.more(5)
        os.kill(state["pid"], signal.SIGKILL)
        load.more(5)
        wait_for(
            lambda: any(t["name"] == tier and t["restarts"] > state["restarts"] for t in run.status()["tiers"]),
            START_S,
            "restart",
        )
        wait_for(lambda: current_layers(run).get("cloud"), START_S, "return")
        load.more(5)
    assert (load.failures, load.wrong) == ([], 0)


def test_twenty_forced_moves_under_load_lose_nothing(run: LocalRun) -> None:
    settle(run)
    digests = [plan["digest"] for plan in run.status()["plans"]]
    with Load(run) as load:
        for i in range(20):
            digest = digests[i % len(digests)]
            run.ask(pin=digest)
            wait_for(lambda wanted=digest: run.status()["active"] == wanted, START_S, "the pinned plan serves")
            load.more(2)
    assert (load.failures, load.wrong) == ([], 0)
    assert set(load.plans) == set(digests)


def test_a_second_run_of_the_same_name_is_refused(run: LocalRun) -> None:
    command = [sys.executable, "-m", "tiersplit_cli", "run", "-f", "split.yaml"]
    done = subprocess.run(
        command, cwd=run.folder, env=environment(), capture_output=True, text=True, timeout=START_S, check=False
    )
    assert done.returncode == 1
    assert f"running already (pid {run.process.pid})" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (("link", "set", "edge:moon", "--bandwidth", "3M"), 2, "edge:mdc, mdc:cloud"),
        (("link", "set", "edge:mdc", "--bandwidth", "3Mbps"), 2, "10M"),
        (("link", "set", "edge:mdc"), 2, "--bandwidth"),
        (("link", "set", "edge"), 2, "edge:cloud"),
        (("pin", "sha256:0000000000"), 2, "names 0 plans"),
        (("pin",), 2, "--clear"),
        (("status", "other"), 1, "not running"),
    ],
)
def test_wrong_commands_are_refused_with_a_hint(
    run: LocalRun, arguments: tuple[str, ...], code: int, hint: str
) -> None:
    command = [sys.executable, "-m", "tiersplit_cli", *arguments]
    done = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, timeout=START_S, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert hint in done.stderr


def test_status_shows_plan_links_and_history_to_people(run: LocalRun) -> None:
    settle(run)
    shown = run.command("status")
    for word in ("Ready", "edge:mdc", "100 Mbps", "cloud", "serves", "answered"):
        assert word in shown


def test_sigterm_ends_everything_and_a_second_run_starts_from_what_was_kept(run: LocalRun, tmp_path: Path) -> None:
    kept = shutil.ignore_patterns("lock", "running.json", "control.sock")
    shutil.copytree(run.folder / ".tiersplit", tmp_path / ".tiersplit", ignore=kept)
    with running(tmp_path) as first:
        pids = first.pids()
        assert len(pids) == 5
        plans = {plan["digest"] for plan in first.status()["plans"]}
        assert first.stop() == 0
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), PATIENCE_S, "all processes gone")
    assert not (tmp_path / ".tiersplit" / "tiny" / "running.json").exists()
    with running(tmp_path) as second:
        assert "as before" in second.said()
        assert {plan["digest"] for plan in second.status()["plans"]} == plans
        orphans = second.pids()
        second.process.kill()
        second.process.wait(timeout=PATIENCE_S)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in orphans), PATIENCE_S, "no orphans")
