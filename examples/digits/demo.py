"""`make demo`: a network is trained, divided over three tiers, and moved while the bandwidth changes.

Trains a small residual network on real handwritten digits, starts `tiersplit run -f examples/digits/split.yaml`, plays
a bandwidth trace on the link of the camera while pictures keep coming, serves the same trace in all fixed ways too, and
writes an HTML report. `--quick` shortens the trace; `--json FILE` writes what was seen.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np

from examples.digits import store
from examples.digits.camera import Camera, KnownPictures
from examples.digits.compare import Effort, adapted, fixed_ways, measure_plans, oracle
from examples.digits.deployment import NAME, Decision, DemoError, Deployment, PlanInfo, decisions_of, plans_of
from examples.digits.play import Played, period_for, play
from examples.digits.report import comparison_table, footnote, outcome_table, write_report
from examples.digits.screen import Screen, milliseconds
from examples.digits.story import Story, served, summary
from examples.digits.trace import LINK, Step, steps_of

MANIFEST = store.HERE / "split.yaml"
TIERS = ("edge", "mdc", "cloud")
READY = "ready;"
"""How the line begins that `tiersplit run` says once it serves; its live status follows."""
STEP_S, QUICK_STEP_S = 12.0, 5.0
EFFORT, QUICK_EFFORT = Effort(requests=4, seconds=0.5), Effort(requests=2, seconds=0.4)


async def run_demo(screen: Screen, steps: tuple[Step, ...], effort: Effort, report: Path) -> Story:
    """The whole demo; what it saw."""
    with screen.step("Train a small residual network on real handwritten digits"):
        training = await train(screen)
    pictures = load_test_set()
    with screen.step("Import it, measure it, plan where to divide it, and deploy it over three tiers"):
        screen.command("tiersplit run -f examples/digits/split.yaml")
        deployment = await deploy(screen)
    try:
        story = await _observe(screen, deployment, steps, effort, (training, pictures))
    finally:
        await deployment.stop()
    with screen.step("Write the report"):
        write_report(report, story)
        screen.detail(f"the timeline, for a browser: [bold]{report}[/]")
    return story


async def train(screen: Screen) -> store.Training:
    """Train in a process of its own, so that torch's memory is free again when the tiers are measured."""
    found = store.finished()
    if found is None:
        await _train_process(screen)
        found = store.finished()
    else:
        screen.detail("trained before, from the same sources: kept")
    if found is None:
        raise DemoError("the training left no weights; see what `python -m examples.digits.train` says")
    screen.detail(
        f"{found.parameters / 1e6:.1f} M parameters read {found.accuracy:.1%} of {found.pictures} test pictures rightly"
    )
    return found


async def _train_process(screen: Screen) -> None:
    command = (sys.executable, "-m", "examples.digits.train", "--json")
    # Threads that wait without spinning lose little alone, and much less where the processor is shared.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env=environment, cwd=store.ROOT
    )
    try:
        await _follow(process, screen)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _follow(process: asyncio.subprocess.Process, screen: Screen) -> None:
    assert process.stdout is not None
    with screen.doing("training"):
        async for line in process.stdout:
            seen = json.loads(line)
            if "epoch" in seen:
                screen.detail(
                    f"epoch {seen['epoch']} of {seen['epochs']}: loss {seen['loss']:.2f} after {seen['seconds']:.0f} s"
                )
    if await process.wait() != 0:
        raise DemoError(f"the training ended with exit code {process.returncode}")


def load_test_set() -> KnownPictures:
    """The pictures to send, with the undivided network's answers."""
    with np.load(store.folder() / store.TEST, allow_pickle=False) as arrays:
        return KnownPictures(arrays["x"], arrays["y"], arrays["logits"])


async def deploy(screen: Screen) -> Deployment:
    """Start the deployment and echo what it says until it is ready."""
    ready = asyncio.Event()

    def heard(line: str) -> None:
        if line.startswith(READY):
            ready.set()
        if line.strip() and not ready.is_set():
            screen.detail(f"[dim]{line.strip()}[/]")

    with screen.doing("preparing"):
        deployment = await Deployment.start(MANIFEST, heard)
    ready.set()
    screen.detail(f"ready: the head answers at {deployment.head}")
    return deployment


async def _observe(
    screen: Screen,
    deployment: Deployment,
    steps: tuple[Step, ...],
    effort: Effort,
    learnt: tuple[store.Training, KnownPictures],
) -> Story:
    from examples.digits.stock import StockClient  # noqa: PLC0415 - its messages may not share a process with our own

    training, pictures = learnt
    plans = plans_of(await deployment.status(), TIERS)
    client = StockClient(deployment.head, NAME)
    camera = Camera(client.ask, pictures)
    try:
        played, decisions = await _play(screen, deployment, camera, steps, plans)
        seen = await _compare(screen, deployment, Camera(client.ask, pictures), plans, steps, effort)
    finally:
        await client.close()
    ways = fixed_ways(plans, seen, steps, TIERS)
    return Story(
        tiers=TIERS,
        training=training,
        pictures=pictures,
        plans=plans,
        played=played,
        decisions=decisions,
        answers=tuple(camera.answers),
        way=adapted([each.answers for each in played], steps),
        fixed=tuple(ways),
        oracle=oracle(ways, steps),
        facts=_facts(training, plans),
    )


async def _play(
    screen: Screen,
    deployment: Deployment,
    camera: Camera,
    steps: tuple[Step, ...],
    plans: tuple[PlanInfo, ...],
) -> tuple[tuple[Played, ...], tuple[Decision, ...]]:
    whole_s = sum(step.seconds for step in steps)
    zero = time.time() - camera.now_s()
    period_s = period_for(plans, TIERS[0])

    def heard(played: Played) -> None:
        screen.detail(_told(played, plans))

    with screen.step(f"Change the bandwidth from {LINK[0]} to {LINK[1]} while pictures keep coming ({whole_s:.0f} s)"):
        screen.detail(f"a camera sends a picture every {milliseconds(period_s)}")
        screen.command(f"tiersplit link set {':'.join(LINK)} --bandwidth 5M   [not bold dim](and so on)[/]")
        with screen.doing("playing the trace"):
            played = await play(deployment, camera, steps, period_s, heard)
        decisions = decisions_of(await deployment.status(), zero)
        screen.detail("why the plan changed, in the controller's words:")
        for decision in (each for each in decisions if each.at_s >= played[0].began_s):
            after_s = decision.at_s - played[0].began_s
            screen.detail(f"[dim]after {after_s:4.1f} s to {_label(decision.plan, plans)}: {decision.reason}[/]")
    return played, decisions


def _told(played: Played, plans: tuple[PlanInfo, ...]) -> str:
    found = [answer.latency_s for answer in played.answers if answer.latency_s is not None]
    mean = milliseconds(float(np.mean(found))) if found else "nothing"
    path = " → ".join(_label(entry.plan, plans) for entry in served(played.answers))
    return f"[bold]{played.step.label:>8}[/]  {path:<42} mean {mean}"


def _label(digest: str, plans: tuple[PlanInfo, ...]) -> str:
    return next((plan.label for plan in plans if plan.digest == digest), digest[:15])


async def _compare(
    screen: Screen,
    deployment: Deployment,
    camera: Camera,
    plans: tuple[PlanInfo, ...],
    steps: tuple[Step, ...],
    effort: Effort,
) -> dict[str, dict[float, list[float]]]:
    with screen.step("Serve the same bandwidths with every plan held fixed"):
        with screen.doing("measuring fixed plans"):
            seen = await measure_plans(deployment, camera, plans, steps, effort, lambda _done, _all: None)
        screen.detail(f"{len(plans)} plans, {len(camera.answers)} pictures, plans taking turns at each bandwidth")
    return seen


def _facts(training: store.Training, plans: tuple[PlanInfo, ...]) -> dict[str, str]:
    return {
        "model": f"residual CNN, {training.parameters / 1e6:.1f} M parameters, {training.accuracy:.1%} on the test set",
        "plans": ", ".join(plan.label for plan in plans),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "fixed plans": "measured on the same deployment with tiersplit pin; without an answer a request counts 2 s",
    }


def main() -> None:
    """Run the demo; exit code 1 where something failed."""
    arguments = _arguments()
    quick: bool = arguments.quick
    screen = Screen()
    steps = steps_of(QUICK_STEP_S if quick else STEP_S)
    try:
        story = asyncio.run(
            _until_sigterm(run_demo(screen, steps, QUICK_EFFORT if quick else EFFORT, arguments.report))
        )
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.console.print("ended before it was done; nothing is left running")
        sys.exit(1)
    except DemoError as error:
        screen.console.print(f"[red]error:[/] {error}", soft_wrap=True)
        sys.exit(1)
    screen.table(comparison_table(story))
    screen.console.print(footnote())
    screen.table(outcome_table(story, arguments.report))
    screen.console.print(f"\nThe demo took {screen.seconds():.0f} s.")
    if arguments.json is not None:
        store.write_atomically(arguments.json, json.dumps({**summary(story), "seconds": screen.seconds()}).encode())


async def _until_sigterm(work: Coroutine[Any, Any, Story]) -> Story:
    """Do `work`; SIGTERM ends it as Ctrl-C does, with everything that it started."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.digits.demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a shorter trace, and less of everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was seen as JSON")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        default=store.ROOT / ".tiersplit" / "demo.html",
        help="where the report goes",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
