"""`tiersplit run` and the commands that talk to it, as a user would type them."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.digits.store import ROOT
from examples.digits.trace import LINK, Step
from tiersplit_core.errors import TiersplitError
from tiersplit_local.control import ask

NAME = "digits"
"""The deployment's name in split.yaml, by which clients call the model too."""
READY_WITHIN_S = 900.0
COMMAND_WITHIN_S = 30.0
STOP_WITHIN_S = 20.0
_HEAD = "head: "
_CHANGES = {"move", "fallback", "return", "pinned", "unavailable"}


class DemoError(Exception):
    """A command of the demo failed; the message says which and what it said."""


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """One plan of the surface.

    Attributes:
        digest: its name.
        layers: how many layers each tier runs.
        expected_s: seconds of one request as planned for now; None where it cannot serve now.
    """

    digest: str
    layers: Mapping[str, int]
    expected_s: float | None = None

    @property
    def label(self) -> str:
        """`edge 3 | cloud 12`: what people read."""
        return " | ".join(f"{tier} {count}" for tier, count in self.layers.items() if count)

    def only_on(self, tier: str) -> bool:
        """All layers are on `tier`."""
        return all(count == 0 for name, count in self.layers.items() if name != tier)


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of plan: when (in seconds on the camera's clock), to which plan, and why."""

    at_s: float
    plan: str
    reason: str


async def tiersplit(*arguments: str) -> str:
    """What `tiersplit ARGUMENTS` prints.

    Raises:
        DemoError: it failed, or took too long.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tiersplit_cli", *arguments, stdout=PIPE, stderr=PIPE, cwd=ROOT
    )
    try:
        out, said = await asyncio.wait_for(process.communicate(), COMMAND_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise DemoError(f"tiersplit {' '.join(arguments)} took longer than {COMMAND_WITHIN_S:.0f} s") from None
    if process.returncode != 0:
        raise DemoError(f"tiersplit {' '.join(arguments)} failed: {said.decode(errors='replace').strip()[-500:]}")
    return out.decode()


class Deployment:
    """A running `tiersplit run -f MANIFEST`."""

    def __init__(self, process: Process, head: str, reader: asyncio.Task[None]) -> None:
        self._process = process
        self._reader = reader
        self.head = head

    @classmethod
    async def start(cls, manifest: Path, heard: Callable[[str], None]) -> "Deployment":
        """Start it and wait until it is ready; `heard` gets each line that it says on the way.

        Raises:
            DemoError: it ended, or was not ready in time.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tiersplit_cli", "run", "-f", str(manifest)),
            stdout=PIPE,
            stderr=PIPE,
            cwd=ROOT,
        )
        reader = asyncio.create_task(_relay(process, heard))
        try:
            head = await asyncio.wait_for(_head_of(process), READY_WITHIN_S)
        except BaseException as error:
            await _end(process)
            await reader
            if isinstance(error, TimeoutError | DemoError):
                raise DemoError(f"tiersplit run -f {manifest} did not get ready: {error or 'time is over'}") from error
            raise
        return cls(process, head, reader)

    async def set_link(self, step: Step) -> None:
        """Reshape the link of the trace."""
        await tiersplit("link", "set", ":".join(LINK), "--bandwidth", step.quantity, "--name", NAME)

    async def pin(self, digest: str | None) -> None:
        """Let one plan serve, as `tiersplit pin` would, or none: the policy decides again.

        It happens so often that the demo asks the control socket itself, instead of starting a process each time.
        """
        await self._ask({"pin": digest})

    async def status(self) -> dict[str, Any]:
        """What `tiersplit status -o json` says."""
        return await self._ask({"status": {}})

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(ask, NAME, request, ROOT / ".tiersplit")
        except TiersplitError as error:
            raise DemoError(f"{NAME} does not do as it is asked: {error}") from error

    async def stop(self) -> None:
        """Drain and end it, as Ctrl-C would."""
        await _end(self._process)
        await self._reader


async def _head_of(process: Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        text = line.decode().strip()
        if text.startswith(_HEAD):
            return text.removeprefix(_HEAD)
    raise DemoError(f"it ended with exit code {await process.wait()}")


async def _relay(process: Process, heard: Callable[[str], None]) -> None:
    assert process.stderr is not None
    with suppress(ValueError):  # a line longer than the reader's limit
        async for line in process.stderr:
            heard(line.decode(errors="replace").rstrip())


async def _end(process: Process) -> None:
    for signal_number in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal_number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_WITHIN_S)


def plans_of(status: Mapping[str, Any], tiers: Sequence[str]) -> tuple[PlanInfo, ...]:
    """The plans that a status lists."""
    return tuple(
        PlanInfo(plan["digest"], {tier: int(plan["layers"].get(tier, 0)) for tier in tiers}, plan["expected_s"])
        for plan in status["plans"]
    )


def decisions_of(status: Mapping[str, Any], zero: float) -> tuple[Decision, ...]:
    """The changes of plan in a status's history, oldest first.

    Args:
        status: what `tiersplit status -o json` says.
        zero: when the camera's clock stood at zero, in seconds since the epoch.
    """
    changes = [entry for entry in status["history"] if entry["verdict"] in _CHANGES]
    found = [Decision(float(entry["at"]) - zero, entry["plan"] or "", entry["reason"]) for entry in changes]
    return tuple(sorted(found, key=lambda decision: decision.at_s))
