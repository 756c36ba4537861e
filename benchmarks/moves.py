"""Two hundred forced moves between plans under constant load: is anything lost, answered twice or wrong?"""

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.local_run import NAME, LocalRun, reference_answers, running, wait_for  # noqa: E402
from tiersplit_wire.client import AsyncInferenceClient  # noqa: E402

MOVES, CLIENTS, PERIOD_S = 200, 4, 0.05
TOLERANCE = 1e-4
MOVE_TIMEOUT_S = 30.0


@dataclass
class Load:
    """What the clients saw; each sends a request every `PERIOD_S`, or as soon as its last one is answered."""

    images: Any
    expected: Any
    asked: int = 0
    wrong: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    plans: set[str] = field(default_factory=set)
    stopping: bool = False

    async def client(self, head: str, number: int) -> None:
        async with AsyncInferenceClient(head) as client:
            i = number
            while not self.stopping:
                i = (i + 1) % len(self.images)
                began = time.monotonic()
                await self.ask(client, i)
                await asyncio.sleep(max(0.0, began + PERIOD_S - time.monotonic()))

    async def ask(self, client: AsyncInferenceClient, i: int) -> None:
        self.asked += 1
        began = time.monotonic()
        try:
            reply = await client.infer(NAME, {"image": self.images[i : i + 1]}, timeout_s=30)
        except Exception as error:
            self.failures.append(str(error))
            return
        self.seconds.append(time.monotonic() - began)
        self.plans.add(str(reply.parameters["plan"]))
        (output,) = reply.outputs.values()
        self.wrong += int(output.shape[0] != 1 or not np.allclose(output[0], self.expected[i], atol=TOLERANCE))


async def measure(run: LocalRun, moves: int) -> tuple[Load, list[float], int]:
    """The load, the seconds of each move, and how many requests the head says it answered."""
    load = Load(*reference_answers(run.folder, 16))
    digests = [plan["digest"] for plan in run.status()["plans"]]
    before = run.status()["requests"]["answered"]
    clients = [asyncio.create_task(load.client(run.head, number)) for number in range(CLIENTS)]
    took = []
    for i in range(moves):
        target = digests[(i + 1) % len(digests)]
        took.append(await asyncio.to_thread(move, run, target))
        await asyncio.sleep(2 * PERIOD_S)
    load.stopping = True
    await asyncio.gather(*clients)
    counted = lambda: run.status()["requests"]["answered"] - before >= len(load.seconds)  # noqa: E731
    await asyncio.to_thread(wait_for, counted, MOVE_TIMEOUT_S, "the head's own count")
    return load, took, run.status()["requests"]["answered"] - before


def move(run: LocalRun, digest: str) -> float:
    """Pin a plan and wait until the head uses it."""
    began = time.monotonic()
    run.ask(pin=digest)
    wait_for(lambda: run.status()["active"] == digest, MOVE_TIMEOUT_S, "the pinned plan serves")
    return time.monotonic() - began


def percentiles(seconds: Sequence[float]) -> dict[str, Any]:
    """Percentiles in milliseconds and the 95% interval of the median (order statistics)."""
    ordered = np.sort(np.asarray(seconds)) * 1e3
    n, spread = len(ordered), 0.98 * np.sqrt(len(ordered))
    low, high = max(0, int(n / 2 - spread)), min(n - 1, int(np.ceil(n / 2 + spread)))
    found = {f"p{q}": round(float(np.percentile(ordered, q)), 3) for q in (50, 95, 99)}
    return {**found, "ci95": [round(float(ordered[low]), 3), round(float(ordered[high]), 3)], "repeats": n}


def rows(load: Load, took: list[float], answered: int) -> list[dict[str, Any]]:
    """One row per question."""
    duplicates = answered - len(load.seconds)
    counts = {"failed": len(load.failures), "answered twice": duplicates, "wrong": load.wrong}
    found: list[dict[str, Any]] = [
        {
            "what": f"{len(took)} forced moves over {len(load.plans)} plans, {load.asked} requests: {name}",
            "target": "0",
            "measured": count,
            "unit": "requests",
            "passed": count == 0 and load.asked == len(load.seconds) + len(load.failures),
        }
        for name, count in counts.items()
    ]
    for what, seconds in (("a request meanwhile", load.seconds), ("a move, until the head uses the plan", took)):
        seen = percentiles(seconds)
        found.append({"what": what, "target": None, "measured": seen["p50"], "unit": "ms", "passed": None, **seen})
    return found


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=MOVES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as run:
        wait_for(lambda: all(plan["selectable"] for plan in run.status()["plans"]), 60, "all plans verified")
        load, took, answered = asyncio.run(measure(run, given.moves))
    for reason in load.failures[:5]:
        print(reason, file=sys.stderr)
    machine = {"machine": platform.machine(), "python": platform.python_version(), "system": platform.system()}
    print(json.dumps({"name": "moves", "rows": rows(load, took, answered), "machine": machine}))


if __name__ == "__main__":
    main()
