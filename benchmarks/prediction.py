"""Predicted against measured latency: every plan of the surface × 3 bandwidths × batch 1, 8, 32.

`tiersplit run` imports, profiles, plans and serves ResNet-18 over three emulated tiers; each plan is then held fixed
while requests go through it one at a time. The prediction is the surface's own, for the bandwidths and latencies that
the links are set to: nothing is fitted to what is measured here.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tiersplit_core.errors import TiersplitError
from tiersplit_core.planning.conditions import Conditions
from tiersplit_core.planning.surface_json import surface_from_json
from tiersplit_wire.client import InferenceClient

NAME, SIDE = "predicted", 96
BANDWIDTHS = {"10M": 10e6, "50M": 50e6, "250M": 250e6}
SECOND_LINK_BPS, LATENCY_S = 200e6, 0.005
BATCHES = (1, 8, 32)
REPEATS = 5
TARGET = 0.10
SWITCH_S = 60.0

MANIFEST = f"""
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata:
  name: {NAME}
  annotations:
    tiersplit.dev/local-slowdown: "edge=4,mdc=2,cloud=1"
    tiersplit.dev/local-batches: "{",".join(map(str, BATCHES))}"
spec:
  model:
    source: {{torch: {{factory: "torchvision.models:resnet18", weights: Random}}}}
    inputs: [{{name: input, datatype: FP32, shape: [-1, 3, {SIDE}, {SIDE}]}}]
  objective: {{minimize: Latency}}
  tiers: [{{name: edge}}, {{name: mdc}}, {{name: cloud}}]
  links:
  - {{from: edge, to: mdc, bandwidth: 50M, latencyMilliseconds: {round(LATENCY_S * 1000)}}}
  - {{from: mdc, to: cloud, bandwidth: 200M, latencyMilliseconds: {round(LATENCY_S * 1000)}}}
  resultTier: edge
"""


def main():
    # Ended from outside, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as work, running(Path(work)) as head:
        surface = surface_from_json(json.loads(Path(work, ".tiersplit", NAME, "surface.json").read_text()))
        rows = measure_all(surface, head, Path(work))
    errors = np.array([abs(row["predicted_s"] - row["measured_s"]) / row["measured_s"] for row in rows])
    plans = len({row["plan"] for row in rows})
    print(json.dumps({"name": "prediction", "rows": [summary(errors)], "note": note(rows, errors, plans)}))


@contextmanager
def running(work):
    """`tiersplit run` in a working directory of its own; gives the head's address."""
    (work / "split.yaml").write_text(MANIFEST)
    command = [sys.executable, "-m", "tiersplit_cli", "run", "-f", "split.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, env=environment)
    try:
        yield next(line for line in process.stdout if line.startswith("head: ")).split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def measure_all(surface, head, work):
    client, rows = InferenceClient(head), []
    for text, bandwidth in BANDWIDTHS.items():
        tell(work, "link", "set", "edge:mdc", "--bandwidth", text)
        for entry in surface.entries:
            digest = entry.plan.digest
            tell(work, "pin", digest)
            wait_for(client, digest)
            for batch in BATCHES:
                conditions = Conditions((bandwidth, SECOND_LINK_BPS), (), batch, (LATENCY_S, LATENCY_S))
                rows.append(row_of(client, digest, text, batch, surface.latency_s(digest, conditions)))
    client.close()
    return rows


def row_of(client, digest, bandwidth, batch, predicted_s):
    seconds = [ask(client, batch)[1] for _ in range(REPEATS + 1)][1:]
    row = {
        "plan": digest[:19],
        "bandwidth": bandwidth,
        "batch": batch,
        "predicted_s": predicted_s,
        "measured_s": float(np.median(seconds)),
    }
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def ask(client, batch):
    pictures = np.random.default_rng(batch).random((batch, 3, SIDE, SIDE), dtype=np.float32)
    started = time.perf_counter()
    reply = client.infer(NAME, {"input": pictures}, timeout_s=120)
    return reply, time.perf_counter() - started


def wait_for(client, digest):
    """Until requests run under the plan."""
    deadline = time.monotonic() + SWITCH_S
    while time.monotonic() < deadline:
        try:
            if ask(client, 1)[0].parameters["plan"] == digest:
                return
        except TiersplitError as error:
            print(error, file=sys.stderr)
        time.sleep(0.1)
    raise TimeoutError(f"the plan {digest} did not come into use")


def tell(work, *arguments):
    subprocess.run([sys.executable, "-m", "tiersplit_cli", *arguments], cwd=work, check=True, stdout=subprocess.DEVNULL)


def summary(errors):
    percent = errors * 100
    half = 1.96 * np.std(percent, ddof=1) / np.sqrt(len(percent))
    return {
        "what": "predicted against measured latency, every plan × 3 bandwidths × batch 1, 8, 32: mean absolute error",
        "target": "≤ 10%",
        "measured": round(float(percent.mean()), 2),
        "unit": "%",
        "p50": round(float(np.percentile(percent, 50)), 2),
        "p95": round(float(np.percentile(percent, 95)), 2),
        "p99": round(float(np.percentile(percent, 99)), 2),
        "ci95": [round(float(percent.mean() - half), 2), round(float(percent.mean() + half), 2)],
        "repeats": REPEATS,
        "passed": bool(errors.mean() <= TARGET),
    }


def note(rows, errors, plans):
    worst = rows[int(errors.argmax())]
    return (
        f"ResNet-18 at {SIDE}×{SIDE}, {plans} plans, {len(rows)} combinations, each the median of {REPEATS} requests; "
        f"the worst is {errors.max():.0%} off: batch {worst['batch']} at {worst['bandwidth']} takes "
        f"{worst['measured_s'] * 1e3:.1f} ms, {worst['predicted_s'] * 1e3:.1f} ms were predicted."
    )


if __name__ == "__main__":
    main()
