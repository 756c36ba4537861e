"""A container's memory limit for a process: a control group that it sees as its own, as a kubelet makes them."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups
from tests.cluster.cgroups import MOUNT

_JOIN = 'echo $$ > "$1/cgroup.procs" && mount --bind "$1" "$2" && shift 2 && exec "$@"'


def missing() -> list[str]:
    """What this machine lacks to limit a process's memory, one sentence each."""
    if os.geteuid() != 0:
        return ["limiting a process's memory makes a control group and a mount, which needs root"]
    return [sentence for sentence in cgroups.missing() if "memory" in sentence]


@dataclass(frozen=True, slots=True)
class Limited:
    """A control group with a memory limit."""

    folder: Path

    def run(self, command: Sequence[str], **options) -> "subprocess.CompletedProcess[str]":
        """Run `command` in it; it finds its limit where containers find theirs."""
        shown = MOUNT if cgroups.is_unified() else MOUNT / "memory"
        joined = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            _JOIN,
            "sh",
            str(self.folder),
            str(shown),
        ]
        return subprocess.run([*joined, *command], text=True, capture_output=True, check=False, **options)

    @property
    def kills(self) -> int:
        """How many processes the system ended for want of memory."""
        file = "memory.events" if cgroups.is_unified() else "memory.oom_control"
        told = dict(line.split() for line in (self.folder / file).read_text().splitlines())
        return int(told["oom_kill"])

    @property
    def peak_bytes(self) -> int:
        """The most that it held, pages of files included."""
        file = "memory.peak" if cgroups.is_unified() else "memory.max_usage_in_bytes"
        return int((self.folder / file).read_text())


@contextmanager
def limited(limit_bytes: int, name: str) -> Iterator[Limited]:
    """A control group called `name` whose processes have `limit_bytes` together; gone when the block ends."""
    folder = (MOUNT if cgroups.is_unified() else MOUNT / "memory") / f"tiersplit-{name}-{os.getpid()}"
    if cgroups.is_unified():
        (MOUNT / "cgroup.subtree_control").write_text("+memory")
    folder.mkdir()
    try:
        (folder / ("memory.max" if cgroups.is_unified() else "memory.limit_in_bytes")).write_text(str(limit_bytes))
        if (folder / "memory.oom.group").exists():
            (folder / "memory.oom.group").write_text("1")  # as kubelets have it: one is ended, all are
        yield Limited(folder)
    finally:
        folder.rmdir()
