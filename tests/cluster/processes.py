"""Programs that outlive the command that started them, each recorded so that exactly it can be ended later."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import cgroups
from tests.cluster.layout import ClusterError, state
from tests.cluster.waiting import wait_until

ENTER_TIMEOUT_S = 10
STOP_TIMEOUT_S = 10
_JOIN_AND_EXEC = 'until [ "$1" = -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and where.

    Attributes:
        name: its name in the state folder, in logs and in `faults`.
        command: the program and its arguments.
        node: the node in whose namespaces it runs, or None for the host's.
        environment: what is added to this process's environment.
    """

    name: str
    command: tuple[str, ...]
    node: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return state() / "logs" / f"{self.name}.log"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was started: a pid alone may come to name another one, its start time and boot do not."""

    pid: int
    start_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has the pid now.

        Raises:
            ClusterError: there is none.
        """
        ticks = _start_ticks(pid)
        if ticks is None:
            raise ClusterError(f"process {pid} ended at once")
        return cls(pid, ticks, _boot())

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; one that only waits to be reaped does not."""
        return self.boot == _boot() and _start_ticks(self.pid) == self.start_ticks

    def end(self, first: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Signal it and wait until it is gone; SIGKILL follows when `timeout_s` has passed."""
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                for signum in (first, signal.SIGKILL):
                    if not self.is_alive:
                        return
                    signal.pidfd_send_signal(handle, signum)
                    select.select([handle], [], [], timeout_s)
            finally:
                os.close(handle)


def ensure(program: Program) -> Process:
    """The program's process: the recorded one where it lives, else one that is started and recorded.

    Raises:
        ClusterError: it ended at once.
    """
    running = recorded(program.name)
    if running is not None and running.is_alive:
        return running
    return start(program)


def start(program: Program) -> Process:
    """Start the program and record it.

    Raises:
        ClusterError: it ended at once.
    """
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("wb") as log:
        child = subprocess.Popen(
            _in_place(program),
            env=os.environ | program.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        process = Process.of(child.pid if program.node is None else _only_child(child.pid))
    except ClusterError as error:
        raise ClusterError(f"{program.name} did not start: {error}; its log says:\n{tail(program)}") from None
    _record(program, process)
    return process


def stop(name: str, first: signal.Signals = signal.SIGTERM) -> None:
    """End a recorded program; its record stays, so that `start_again` knows what it was."""
    process = recorded(name)
    if process is not None:
        process.end(first)


def start_again(name: str) -> Process:
    """Start a recorded program that does not run, as it was; one that runs is left alone.

    Raises:
        ClusterError: nothing of that name was ever started, or it ended at once.
    """
    if not _path(name).exists():
        raise ClusterError(f"nothing called {name!r} was started; there is: {', '.join(sorted(names()))}")
    written = json.loads(_path(name).read_text())["program"]
    return ensure(Program(written["name"], tuple(written["command"]), written["node"], written["environment"]))


def recorded(name: str) -> Process | None:
    """The process last started under the name, alive or not."""
    if not _path(name).exists():
        return None
    return Process(**json.loads(_path(name).read_text())["process"])


def forget(names_: Iterable[str]) -> None:
    """Drop the records of these programs."""
    for name in names_:
        _path(name).unlink(missing_ok=True)


def names() -> list[str]:
    """Every program that was started, in the order of their first start."""
    folder = state() / "run"
    return [path.stem for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)]


def tail(program: Program, size: int = 2000) -> str:
    """The end of what it printed."""
    return program.log.read_bytes()[-size:].decode(errors="replace")


def inhabitant(node: str) -> int:
    """The first process inside a node's namespaces.

    Raises:
        ClusterError: the node is not up.
    """
    holder = recorded(f"node-{node}")
    if holder is None or not holder.is_alive:
        raise ClusterError(f"node {node} is not up")
    return _only_child(holder.pid)


def entering(node: str) -> list[str]:
    """The command that runs the words after it inside a node's namespaces.

    Raises:
        ClusterError: the node is not up.
    """
    return ["nsenter", "--target", str(inhabitant(node)), "--net", "--mount", "--pid", "--"]


def _in_place(program: Program) -> list[str]:
    """The command that joins the cluster's cgroups, then the node's namespaces, then becomes the program."""
    enter = [] if program.node is None else entering(program.node)
    groups = [str(path) for path in cgroups.daemon_files()]
    return ["sh", "-c", _JOIN_AND_EXEC, program.name, *groups, "--", *enter, *program.command]


def _only_child(pid: int) -> int:
    """The process that `unshare` or `nsenter` forked: they stay in front of what runs in a PID namespace."""
    children = Path(f"/proc/{pid}/task/{pid}/children")

    def found() -> int | None:
        try:
            return next(map(int, children.read_text().split()), None)
        except FileNotFoundError:
            raise ClusterError(f"process {pid} ended at once") from None

    return wait_until(found, f"process {pid} has a child", ENTER_TIMEOUT_S)


def _record(program: Program, process: Process) -> None:
    path = _path(program.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    written: dict[str, Any] = {"program": asdict(program), "process": asdict(process)}
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(written, indent=1))
    unfinished.replace(path)


def _path(name: str) -> Path:
    return state() / "run" / f"{name}.json"


def _start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since the boot; None for none or one that only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def uptime_s(process: Process) -> float:
    """For how long it has run, in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - process.start_ticks / os.sysconf("SC_CLK_TCK")
