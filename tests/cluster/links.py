"""The links between nodes: how many bits per second pass from one node's pods to another's, changeable at run time.

Each direction of each pair is an HTB class on the sending node's cable, chosen by the two pod ranges. What no link was
set for is not shaped, nor is anything but pods: image pulls, the kubelets' traffic, Prometheus' scrapes.
"""

import json
import re
from dataclasses import dataclass

from tests.cluster.layout import NODES, ClusterError, Node, node
from tests.cluster.network import inside

UNITS = {"": 1.0, "bit": 1.0, "k": 1e3, "kbit": 1e3, "m": 1e6, "mbit": 1e6, "g": 1e9, "gbit": 1e9}
SHORTEST_QUEUE_BYTES = 256 * 1024
"""Room for a few of the kernel's largest packets, so that one transmission is queued rather than dropped."""
QUEUE_S = 0.2


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of a link as it is shaped now, and what has passed it."""

    source: str
    target: str
    bandwidth_bps: int
    sent_bytes: int


def set_link(source: str, target: str, bandwidth_bps: float, *, both_ways: bool = True) -> None:
    """Shape what the pods of one node send to those of another; takes effect on flows that are under way.

    Args:
        source: the sending node's name.
        target: the receiving node's name.
        bandwidth_bps: bits per second, Ethernet headers included, as `tc` counts them.
        both_ways: shape the way back alike.

    Raises:
        ClusterError: a node is unknown or not up, or the bandwidth is not positive.
    """
    if bandwidth_bps < 1:
        raise ClusterError(f"bandwidth {bandwidth_bps!r} is no link; write bits per second, at least 1")
    for sender, receiver in _directions(source, target, both_ways):
        _shape(sender, receiver, round(bandwidth_bps))


def clear_link(source: str, target: str, *, both_ways: bool = True) -> None:
    """Stop shaping between two nodes.

    Raises:
        ClusterError: a node is unknown or not up.
    """
    for sender, receiver in _directions(source, target, both_ways):
        if receiver.number in _classes(sender):
            _tc(sender, "filter", "delete", *_filter_place(receiver))
            _tc(sender, "class", "delete", "dev", "eth0", "classid", f"1:{receiver.number}")


def clear() -> None:
    """Stop shaping anything."""
    for sender in NODES:
        if _has_root(sender):
            _tc(sender, "qdisc", "delete", "dev", "eth0", "root")


def shaped() -> list[Link]:
    """Every direction that is shaped now."""
    return [
        Link(sender.name, receiver.name, *classes[receiver.number])
        for sender in NODES
        for classes in [_classes(sender)]
        for receiver in NODES
        if receiver.number in classes
    ]


def parse_bandwidth(written: str) -> float:
    """Bits per second from `2mbit`, `2M`, `500k` or `2000000`.

    Raises:
        ClusterError: it is written otherwise.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]*)", written.strip().lower())
    if match is None or match[2] not in UNITS:
        raise ClusterError(f"bandwidth {written!r} cannot be read; write for example 2mbit, 2M or 500kbit")
    return float(match[1]) * UNITS[match[2]]


def _directions(source: str, target: str, both_ways: bool) -> list[tuple[Node, Node]]:
    one, other = node(source), node(target)
    if one == other:
        raise ClusterError(f"a link joins two nodes, not {source} with itself")
    return [(one, other), (other, one)] if both_ways else [(one, other)]


def _shape(sender: Node, receiver: Node, bandwidth_bps: int) -> None:
    number = receiver.number
    if not _has_root(sender):
        _tc(sender, "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "0")
    known = number in _classes(sender)
    rate = f"{bandwidth_bps}bit"
    queue = max(SHORTEST_QUEUE_BYTES, round(bandwidth_bps * QUEUE_S / 8))
    _tc(
        sender,
        "class",
        "replace",
        "dev",
        "eth0",
        "parent",
        "1:",
        "classid",
        f"1:{number}",
        "htb",
        "rate",
        rate,
        "ceil",
        rate,
    )
    # The queue's handle is given, so that replacing it changes its limit and keeps what waits in it.
    _tc(
        sender,
        "qdisc",
        "replace",
        "dev",
        "eth0",
        "parent",
        f"1:{number}",
        "handle",
        f"{number + 1}:",
        "bfifo",
        "limit",
        str(queue),
    )
    if not known:
        ranges = ("match", "ip", "src", sender.pod_range, "match", "ip", "dst", receiver.pod_range)
        _tc(sender, "filter", "add", *_filter_place(receiver), "u32", *ranges, "flowid", f"1:{number}")


def _filter_place(receiver: Node) -> tuple[str, ...]:
    return ("dev", "eth0", "parent", "1:", "protocol", "ip", "prio", str(receiver.number))


def _classes(sender: Node) -> dict[int, tuple[int, int]]:
    """The bandwidth in bits per second and the bytes sent, by the number of the receiving node."""
    if not _has_root(sender):
        return {}
    listed = json.loads(_tc(sender, "-json", "-statistics", "class", "show", "dev", "eth0") or "[]")
    return {
        int(entry["handle"].partition(":")[2], 16): (8 * int(entry["rate"]), int(entry["stats"]["bytes"]))
        for entry in listed
        if entry["class"] == "htb"
    }


def _has_root(sender: Node) -> bool:
    listed = json.loads(_tc(sender, "-json", "qdisc", "show", "dev", "eth0") or "[]")
    return any(entry["kind"] == "htb" for entry in listed)


def _tc(sender: Node, *arguments: str) -> str:
    return inside(sender, "tc", *arguments)
