"""The control socket: JSON lines, errors by kind, nothing a stranger sends ends it."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE_S
from tiersplit_core.errors import InputError, OperationError
from tiersplit_local.control import ask, running_names, serve_control
from tiersplit_local.workdir import WorkDir, write_json


async def handle(request: dict[str, Any]) -> dict[str, Any]:
    if "wrong" in request:
        raise InputError("write it right", "wrong")
    if "broken" in request:
        raise OperationError("it broke")
    return {"echo": request}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    work = WorkDir("demo", tmp_path)
    work.path.mkdir(parents=True)
    path, started, loop = work.socket_path(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        await serve_control(path, handle)
        started.set()

    async def until_told() -> None:
        await serve()
        await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(until_told())

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(PATIENCE_S)
    write_json(work.running, {"pid": 1, "control": str(path)})
    yield tmp_path
    loop.call_soon_threadsafe(stop.set)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_request_is_answered(root: Path) -> None:
    assert ask("demo", {"status": {}}, root) == {"echo": {"status": {}}}


def test_the_only_running_one_needs_no_name(root: Path) -> None:
    assert running_names(root) == ["demo"]
    assert ask(None, {"a": 1}, root)["echo"] == {"a": 1}


def test_errors_keep_their_kind(root: Path) -> None:
    with pytest.raises(InputError, match="write it right"):
        ask("demo", {"wrong": 1}, root)
    with pytest.raises(OperationError, match="it broke"):
        ask("demo", {"broken": 1}, root)


@pytest.mark.parametrize("sent", [b"{\n", b"[]\n", b"\xff\xfe\n", b"x" * 200_000 + b"\n", b""])
def test_hostile_bytes_are_refused_and_the_next_request_is_answered(root: Path, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(root / "demo" / "control.sock"))
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    assert not answer or "error" in json.loads(answer)
    assert ask("demo", {"a": 1}, root)["echo"] == {"a": 1}


def test_who_is_not_running_is_named(root: Path) -> None:
    with pytest.raises(OperationError, match="other is not running"):
        ask("other", {"status": {}}, root)


def test_without_a_name_and_nothing_running_a_name_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="running are none"):
        ask(None, {"status": {}}, tmp_path)


def test_a_run_that_died_without_a_word_is_reported(root: Path) -> None:
    write_json(root / "demo" / "running.json", {"pid": 1, "control": str(root / "gone.sock")})
    with pytest.raises(OperationError, match="does not answer"):
        ask("demo", {"status": {}}, root)
