"""The emulated links: a relay process each, told its shape and target."""

import asyncio
import contextlib
import json
import sys
from dataclasses import replace
from typing import Any

from tiersplit_control.intent import DeclaredLink
from tiersplit_core.errors import OperationError
from tiersplit_local.processes import Watched, tied
from tiersplit_local.relay import MAX_LINE_BYTES

ANSWER_TIMEOUT_S = 10.0
NOWHERE = "127.0.0.1:1"
"""Until the stage behind the link has said where it listens, connections over it are refused."""


class EmulatedLink(Watched):
    """One link.

    Attributes:
        link: what it is set to.
        address: where the tier before it dials.
    """

    def __init__(self, link: DeclaredLink) -> None:
        super().__init__()
        self.link, self.address, self.target = link, "", NOWHERE
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start the relay; it is started again, at the same address, should it end."""
        await self._spawn("127.0.0.1:0")
        self._watcher = asyncio.create_task(self._watch(), name=f"watch link {self.link.source}:{self.link.target}")

    async def _spawn(self, listen: str) -> None:
        link = self.link
        command = [sys.executable, "-m", "tiersplit_local.relay", "--listen", listen, "--target", self.target]
        command += ["--latency-s", str(link.latency_s)]
        command += [] if link.bandwidth_bps is None else ["--bandwidth-bps", str(link.bandwidth_bps)]
        pipe = asyncio.subprocess.PIPE
        async with self._turn:
            self._process = await asyncio.create_subprocess_exec(
                *tied(command), stdin=pipe, stdout=pipe, limit=MAX_LINE_BYTES, start_new_session=True
            )
            self.address = str((await self._answer())["address"])

    async def _watch(self) -> None:
        while self._process is not None:
            await self._process.wait()
            if self._stopping:
                return
            await asyncio.sleep(0.2)
            self.restarts += 1
            with contextlib.suppress(OperationError):
                await self._spawn(self.address)

    async def reshape(self, bandwidth_bps: float | None, latency_s: float | None) -> None:
        """Change the shape of the running link.

        Args:
            bandwidth_bps: bits per second; 0 is down, None does not limit.
            latency_s: one way; None leaves it as it is.
        """
        self.link = replace(self.link, bandwidth_bps=bandwidth_bps)
        if latency_s is not None:
            self.link = replace(self.link, latency_s=latency_s)
        await self._tell({"bandwidth_bps": bandwidth_bps, "latency_s": self.link.latency_s})

    async def lead_to(self, target: str) -> None:
        """Send new connections to the stage at `target`."""
        if target != self.target:
            self.target = target
            await self._tell({"target": target})

    async def passed_bytes(self) -> tuple[int, int]:
        """Bytes that went there and back so far."""
        there, back = (await self._tell({}))["passed_bytes"]
        return int(there), int(back)

    async def _tell(self, command: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            process = self._process
            if process is None or process.stdin is None or process.returncode is not None:
                raise OperationError(f"the relay of {self.link.source}:{self.link.target} is not running")
            process.stdin.write(json.dumps(command).encode() + b"\n")
            return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process is not None  # noqa: S101 - only called while it is there
        assert self._process.stdout is not None  # noqa: S101 - it was started with a pipe
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = json.loads(await self._process.stdout.readline() or b"{}")
        except (TimeoutError, ValueError) as error:
            raise OperationError(f"the relay of {self.link.source}:{self.link.target} does not answer") from error
        if not isinstance(answer, dict) or not answer or "error" in answer:
            raise OperationError(f"the relay of {self.link.source}:{self.link.target}: {answer or 'ended'}")
        return answer

    async def stop(self) -> None:
        """End the relay by closing its input."""
        self._stopping = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        await self._ended(2.0)
