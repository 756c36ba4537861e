"""A head with fewer bits against the best of all plans without, served by `tiersplit run` over a link of 3 Mbps.

Two deployments of the scaled digits network run side by side: one may quantise its first tier and chooses a plan by
itself; the other may not, so that its surface holds every plan that is worth having without bit widths: the cloud alone
(the picture travels as bytes), the edge alone, and splits. In each round all of them take turns, one request at a time;
the chosen plan is compared with whichever float plan was the fastest of that round.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from support.report import publish  # noqa: E402
from support.split import ratio_interval, summary  # noqa: E402

from benchmarks.models import scaled_store as store  # noqa: E402
from tests.support.local_run import LocalRun, wait_for  # noqa: E402
from tiersplit_core.planning.plan import Plan  # noqa: E402
from tiersplit_core.planning.surface_json import surface_from_json  # noqa: E402
from tiersplit_local.workdir import WorkDir, read_json  # noqa: E402
from tiersplit_wire.client import InferenceClient, Reply  # noqa: E402

NAME, TIERS = "scaled-digits", ("edge", "cloud")
ROUNDS, WARM_UP, REQUESTS = 9, 4, 12
FASTER, MAX_DROP = 1.5, 1.0
"""Times as fast, and percentage points."""
CROSSING_BITS = "[4, 6, 8, 32]"
TRAINING_S, READY_S, SWITCH_S, DEADLINE_S = 1800.0, 1800.0, 30.0, 30.0
RESAMPLES = 2000

TRAINED = f"""
      torch:
        factory: benchmarks.models.scaled_digits:ScaledDigitNet
        weights: Uri
        weightsUri: {store.WEIGHTS}
    inputs:
    - name: pixels
      datatype: FP32
      wireDatatype: UINT8
      shape: [-1, 3, 96, 96]
    calibration:
      uri: {store.CALIBRATION}
    validation:
      uri: {store.VALIDATION}
      metric: Top1"""
IMPORTED = """
      bundle: {bundle}"""
MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata:
  name: scaled-digits
spec:
  model:
    source:{source}
  accuracy:
    maxDrop: 1%
  tiers:
  - name: edge
    weightBits: {weights}
    activationBits: {activations}
    resources:
      limits:
        cpu: 250m
  - name: cloud
  links:
  - from: edge
    to: cloud
    bandwidth: 3M
    latencyMilliseconds: 5
  adaptation:
    pollingPeriodSeconds: 1
    cooldownPeriodSeconds: 1
"""
"""A tier with a quarter of a processor is emulated four times slower than this machine's one."""


@dataclass(frozen=True, slots=True)
class Way:
    """One plan of a running deployment, and how many bytes a request of it sends over the link, both ways."""

    run: LocalRun
    client: InferenceClient
    plan: Plan
    payload_bytes: int

    @property
    def name(self) -> str:
        """What people call it."""
        counts = {tier: sum(at == tier for at in self.plan.placement.values()) for tier in TIERS}
        used = [tier for tier in TIERS if counts[tier]]
        place = " | ".join(f"{tier} {counts[tier]}" for tier in used) if len(used) > 1 else f"{used[0]}-only"
        return f"{place}, {self.plan.form if self.plan.widths else 'float'}"


def main() -> None:
    """Train where needed, serve, measure, print the document."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.models.scaled_training"], cwd=ROOT, check=True, timeout=TRAINING_S
    )
    with tempfile.TemporaryDirectory() as work, ExitStack() as until:
        quantising = until.enter_context(deployed(Path(work) / "quantised", TRAINED, "[8, 32]", CROSSING_BITS))
        bundle = workdir(quantising).bundle
        plain = until.enter_context(deployed(Path(work) / "float", IMPORTED.format(bundle=bundle), "[32]", "[32]"))
        ways = [own_choice(quantising), *ways_of(plain)]
        seconds = measure(ways)
        best = min(range(1, len(ways)), key=lambda i: np.median(seconds[i]))
        right = [right_answers(ways[i]) for i in (0, best)]
        publish("quantised_run", rows_of(ways, np.array(seconds), right), note(ways, best))


@contextmanager
def deployed(folder: Path, source: str, weights: str, activations: str) -> Iterator[LocalRun]:
    """A deployment that serves; what it said on the way goes to stderr."""
    folder.mkdir()
    run = LocalRun(folder, manifest=MANIFEST.format(source=source, weights=weights, activations=activations))
    try:
        run.wait_ready(READY_S)
        say(run.said())
        yield run
    finally:
        run.stop()


def workdir(run: LocalRun) -> WorkDir:
    return WorkDir(NAME, run.folder / ".tiersplit")


def own_choice(run: LocalRun) -> Way:
    """The plan that the policy chose; it has to have bit widths."""
    digest = wait_for(lambda: run.status()["plan"], SWITCH_S, "a plan serves")
    chosen = next(way for way in ways_of(run) if way.plan.digest == digest)
    if not chosen.plan.widths:
        raise SystemExit(f"{chosen.name} was planned to be the fastest at 3 Mbps: there is nothing to compare")
    return chosen


def ways_of(run: LocalRun) -> list[Way]:
    """The plans of a deployment's surface."""
    surface, client = surface_from_json(read_json(workdir(run).surface)), InferenceClient(run.head)
    return [Way(run, client, entry.plan, sum(entry.terms[1].link_bytes)) for entry in surface.entries]


def measure(ways: Sequence[Way]) -> list[list[list[float]]]:
    """Seconds of single requests, by way and round; every other round takes the ways in the other order."""
    seconds: list[list[list[float]]] = [[] for _ in ways]
    for number in range(ROUNDS):
        for i in range(len(ways)) if number % 2 == 0 else reversed(range(len(ways))):
            seconds[i].append(in_turn(ways[i], number))
            say(f"round {number + 1}: {ways[i].name}: {np.median(seconds[i][-1]) * 1e3:.1f} ms")
    return seconds


def in_turn(way: Way, number: int) -> list[float]:
    """Seconds of a turn's requests, after some that nobody counts; each turn has pictures of its own."""
    serve(way)
    pictures, count = test_set()["x"], WARM_UP + REQUESTS
    return [ask(way, pictures[(number * count + k) % len(pictures)])[1] for k in range(count)][WARM_UP:]


def serve(way: Way) -> None:
    """Hold the way's plan fixed, and wait until it answers."""
    picture, digest = test_set()["x"][0], way.plan.digest
    way.run.ask(pin=digest)
    wait_for(lambda: ask(way, picture)[0].parameters["plan"] == digest, SWITCH_S, f"{way.name} serves")


def ask(way: Way, picture: Any) -> tuple[Reply, float]:
    """The answer to one picture, and how long it took."""
    began = time.perf_counter()
    reply = way.client.infer(NAME, {"pixels": picture[None]}, timeout_s=DEADLINE_S)
    return reply, time.perf_counter() - began


def right_answers(way: Way) -> Any:
    """Which of the test pictures the running deployment reads rightly under a plan."""
    serve(way)
    replies = [ask(way, picture)[0] for picture in test_set()["x"]]
    if {reply.parameters["plan"] for reply in replies} != {way.plan.digest}:
        raise SystemExit(f"another plan answered while {way.name} was to serve")
    logits = np.concatenate([next(iter(reply.outputs.values())) for reply in replies])
    return logits.argmax(1) == test_set()["y"]


@cache
def test_set() -> dict[str, Any]:
    """Pictures that neither training nor planning has seen, and what they show."""
    with np.load(store.TEST, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in ("x", "y")}


def rows_of(ways: Sequence[Way], seconds: Any, right: Sequence[Any]) -> list[dict[str, Any]]:
    """What the targets ask for, and what stands behind it.

    Args:
        ways: the chosen plan, then the float plans.
        seconds: by way, round and request.
        right: by test picture, of the chosen plan and of the fastest float plan.
    """
    medians = np.median(seconds, axis=2)
    faster, lost = medians[1:].min(axis=0) / medians[0], 100 * float(right[1].mean() - right[0].mean())
    return [
        {
            "what": "fastest float plan against the quantised head, latency",
            "target": f"≥ {FASTER}",
            "measured": round(float(np.median(faster)), 3),
            "unit": "×",
            "ci95": ratio_interval(faster),
            "repeats": ROUNDS,
            "passed": bool(np.median(faster) >= FASTER),
        },
        {
            "what": "Top-1 lost by the quantised head, test pictures",
            "target": f"≤ {MAX_DROP}",
            "measured": round(lost, 2),
            "unit": "points",
            "ci95": lost_interval(*right),
            "repeats": len(right[0]),
            "passed": lost <= MAX_DROP,
        },
        *(accuracy_row(name, found) for name, found in zip(("quantised head", "float model"), right, strict=True)),
        *(latency_row(way, found) for way, found in zip(ways, seconds, strict=True)),
    ]


def lost_interval(chosen: Any, plain: Any) -> list[float]:
    """95% interval of the lost percentage points by bootstrap over the pictures, the same for both plans."""
    lost = 100.0 * (plain.astype(float) - chosen.astype(float))
    drawn = np.random.default_rng(0).choice(lost, (RESAMPLES, len(lost))).mean(axis=1)
    return [round(float(q), 2) for q in np.percentile(drawn, (2.5, 97.5))]


def accuracy_row(name: str, right: Any) -> dict[str, Any]:
    """How many of the test pictures were read rightly."""
    what = f"{name}: Top-1 through the running head, {len(right)} test pictures"
    return {"what": what, "measured": round(100 * float(right.mean()), 2), "unit": "%", "passed": None}


def latency_row(way: Way, seconds: Any) -> dict[str, Any]:
    """Percentiles of all requests under a plan."""
    found = summary(1e3 * seconds.ravel())
    return {"what": f"{way.name}: a request", "measured": found["p50"], "unit": "ms", **found, "passed": None}


def note(ways: Sequence[Way], best: int) -> str:
    """What was compared, and how."""
    chosen = ways[0]
    bits = ", ".join(f"{weights}/{activations}" for weights, activations in chosen.plan.widths.values())
    return (
        "The scaled digits network (benchmarks/models/scaled_digits.py) on pictures of 96×96 bytes, batch 1. The edge "
        "is emulated four times slower than one core of this machine (cpu: 250m), the link carries 3 Mbps with 5 ms "
        f"each way. The policy chose {chosen.name}, its layers at {bits} bits of weights/activations; it sends "
        f"{chosen.payload_bytes:,} bytes per request, the fastest float plan ({ways[best].name}) "
        f"{ways[best].payload_bytes:,}. {ROUNDS} rounds of {REQUESTS} requests each; the ratio is that of a round's "
        "medians, its interval a bootstrap over the rounds. Nothing is compressed on the link."
    )


def say(text: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
