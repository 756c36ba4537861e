"""What of the cluster runs, as a table."""

from collections.abc import Sequence
from pathlib import Path

from tests.cluster import cluster, links, processes
from tests.cluster.layout import ClusterError, kubeconfig, uses_existing_cluster


def report() -> str:
    """A table of programs, the Ready nodes and the shaped links."""
    if uses_existing_cluster():
        return f"the cluster that KUBECONFIG names: {kubeconfig()}"
    names = processes.names()
    if not names:
        return "the test cluster is down; `make cluster-up` brings it up"
    rows = [_row(name) for name in names]
    return "\n".join([_table(["PROGRAM", "PID", "STATE", "UP", "MEMORY"], rows), "", *_nodes(), *_links()])


def _row(name: str) -> list[str]:
    process = processes.recorded(name)
    if process is None or not process.is_alive:
        return [name, "-", "stopped", "-", "-"]
    return [
        name,
        str(process.pid),
        "running",
        f"{processes.uptime_s(process):.0f} s",
        f"{_resident_mib(process.pid)} MiB",
    ]


def _resident_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS:")), 0)


def _nodes() -> list[str]:
    try:
        return [f"Ready: {', '.join(cluster.ready_nodes()) or 'no node'}"]
    except ClusterError as error:
        return [f"Ready: unknown; {error}"]


def _links() -> list[str]:
    try:
        shaped = links.shaped()
    except ClusterError as error:
        return [f"Links: unknown; {error}"]
    return [f"Link: {link.source} -> {link.target} {link.bandwidth_bps / 1e6:g} Mbit/s" for link in shaped]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    )
