"""A `tiersplit run` of the tiny network as a process, for tests and benchmarks."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import psutil

from tests.support.patience import START_S
from tiersplit_bundle.bundle import Bundle
from tiersplit_local.control import ask

ROOT = Path(__file__).parents[2]
NAME = "tiny"
READY_S = 600.0
"""Until a deployment serves: its network is imported, profiled and planned before, on a machine however busy."""
MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata:
  name: tiny
  annotations: {{tiersplit.dev/local-slowdown: "edge=300,mdc=40"}}
spec:
  model:
    source: {{torch: {{factory: "tests.support.tiny_cnn:tiny_cnn"}}}}
    inputs: [{{name: image, datatype: FP32, shape: [-1, 3, 32, 32]}}]
  tiers: [{{name: edge}}, {{name: mdc}}, {{name: cloud}}]
  links:
  - {{from: edge, to: mdc, bandwidth: {bandwidth}, latencyMilliseconds: 1}}
  - {{from: mdc, to: cloud, bandwidth: 200M, latencyMilliseconds: 1}}
  adaptation: {{pollingPeriodSeconds: 1, cooldownPeriodSeconds: {cooldown}}}
"""


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """What `condition` returns once it is true; fails after `timeout_s`."""
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while time.monotonic() < end:
        if found := condition():
            return found
        pause.wait(0.05)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class LocalRun:
    """A running deployment."""

    def __init__(
        self, folder: Path, *options: str, bandwidth: str = "100M", cooldown: int = 1, manifest: str = MANIFEST
    ) -> None:
        self.folder = folder
        (folder / "split.yaml").write_text(manifest.format(bandwidth=bandwidth, cooldown=cooldown))
        self._said = (folder / "said.txt").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tiersplit_cli", "run", "-f", "split.yaml", *options],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        self.head = ""

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait for the line with the head's address."""
        assert self.process.stdout is not None
        killer = threading.Timer(timeout_s, self.process.kill)
        killer.start()
        line = self.process.stdout.readline()
        killer.cancel()
        assert line.startswith("head: "), f"{line!r}; {self.said()}"
        self.head = line.removeprefix("head: ").strip()

    def said(self) -> str:
        """What it wrote on stderr."""
        return (self.folder / "said.txt").read_text()

    def command(self, *arguments: str) -> str:
        """What `tiersplit ARGUMENTS` prints here."""
        done = subprocess.run(
            [sys.executable, "-m", "tiersplit_cli", *arguments],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Its state, asked on the control socket."""
        return ask(None, {"status": {}}, self.folder / ".tiersplit")

    def ask(self, **request: Any) -> dict[str, Any]:
        """Any other request on the control socket."""
        return ask(None, request, self.folder / ".tiersplit")

    def pids(self) -> list[int]:
        """The processes it started."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def stop(self) -> int:
        """End it as a service manager would; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=START_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self._said.close()


def environment() -> dict[str, str]:
    """The environment of the commands: the tests' own packages can be imported, libraries stay on one thread."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def running(
    folder: Path,
    *options: str,
    bandwidth: str = "100M",
    cooldown: int = 1,
    manifest: str = MANIFEST,
    ready_s: float = READY_S,
) -> Iterator[LocalRun]:
    """A deployment that is ready within `ready_s`, ended afterwards whatever happens."""
    run = LocalRun(folder, *options, bandwidth=bandwidth, cooldown=cooldown, manifest=manifest)
    try:
        run.wait_ready(ready_s)
        yield run
    finally:
        run.stop()


def reference_answers(folder: Path, count: int, seed: int = 0) -> tuple[Any, Any]:
    """Images and what the unsplit model answers to them, from the bundle's own whole model in one session."""
    bundle = Bundle.open(folder / ".tiersplit" / NAME / "bundle")
    session = ort.InferenceSession(str(bundle.model_path), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(seed).standard_normal((count, 3, 32, 32)).astype(np.float32)
    name = session.get_inputs()[0].name
    return images, np.concatenate([session.run(None, {name: images[i : i + 1]})[0] for i in range(count)])
