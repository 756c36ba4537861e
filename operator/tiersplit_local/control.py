"""The control socket of a run: one JSON line asks, one JSON line answers."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tiersplit_core.errors import InputError, OperationError, TiersplitError
from tiersplit_local.workdir import ROOT, WorkDir, read_json

MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 4 * 2**20
TIMEOUT_S = 10.0

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def serve_control(path: Path, handler: Handler) -> asyncio.Server:
    """Answer requests at `path` with what `handler` returns; its errors travel as `{"error", "path"}`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                writer.write(json.dumps(await _handle(reader, handler)).encode() + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path, limit=MAX_REQUEST_BYTES)
    path.chmod(0o600)
    return server


async def _handle(reader: asyncio.StreamReader, handler: Handler) -> dict[str, Any]:
    try:
        request = json.loads(await reader.readline())
        if not isinstance(request, dict):
            return {"error": "a request is a JSON object", "input": True}
        return await handler(request)
    except TiersplitError as error:
        return {"error": str(error), "input": isinstance(error, InputError)}
    except ValueError as error:
        return {"error": f"no JSON line: {error}", "input": True}


def ask(name: str | None, request: dict[str, Any], root: Path = ROOT) -> dict[str, Any]:
    """Ask a running deployment.

    Args:
        name: its name; None where only one runs.
        request: what to ask.
        root: where runs keep their directories.

    Raises:
        InputError: the name is missing, or the request is refused.
        OperationError: it is not running or does not answer.
    """
    name = name or _only_running(root)
    path = read_json(WorkDir(name, root).running).get("control")
    if path is None:
        raise OperationError(f"{name} is not running here; start it with `tiersplit run`")
    answer = _exchange(str(path), request, name)
    if "error" in answer:
        raise (InputError if answer.get("input") else OperationError)(str(answer["error"]))
    return answer


def _exchange(path: str, request: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_read_line(connection))
    except (OSError, ValueError) as error:
        raise OperationError(f"{name} does not answer: {error}") from error
    return answer if isinstance(answer, dict) else {"error": "no answer"}


def _read_line(connection: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and (part := connection.recv(65536)):
        data += part
        if len(data) > MAX_ANSWER_BYTES:
            raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
    return bytes(data)


def running_names(root: Path = ROOT) -> list[str]:
    """Names of the deployments whose directories say that they run."""
    return sorted(path.parent.name for path in root.glob("*/running.json"))


def _only_running(root: Path) -> str:
    names = running_names(root)
    if len(names) == 1:
        return names[0]
    raise InputError(f"write a name: running are {', '.join(names) or 'none'}", "NAME")
