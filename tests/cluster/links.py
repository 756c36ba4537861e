"""The links between nodes: how many bits per second pass from one node's pods to another's, changeable at run time.

On each node's cable stands an HTB with a class per receiving node, chosen by the two pod ranges; a link that is set is
a token bucket under its class. What no link was set for is not shaped, nor is anything but pods: image pulls, the
kubelets' traffic, Prometheus' scrapes.

The bucket, and not HTB itself, sets the pace: it cuts the kernel's packets of up to 64 KiB into those of the cable,
while HTB lets each of them pass whole, which at 2 Mbit/s is a quarter of a second ahead of the link.
"""

import json
import re
from dataclasses import dataclass

from tests.cluster.layout import NODES, ClusterError, Node, node
from tests.cluster.network import inside

UNITS = {"": 1.0, "bit": 1.0, "k": 1e3, "kbit": 1e3, "m": 1e6, "mbit": 1e6, "g": 1e9, "gbit": 1e9}
UNSHAPED = "rate 100gbit quantum 60000"
"""The class alone stops nothing."""
PACKET_BYTES = 1600
"""A packet of the cable: less and the bucket passes none."""
BURST_S = 0.002
"""By how much the kernel's timer may be late without loss of bandwidth."""
CATCHING_UP, PEAK_S = 1.1, 0.00025
"""Times the pace at which what was late is made up for, and what passes at once. Without such a peak a link that has
rested passes a whole burst at once, which no cable does: of a few kilobytes at 5 Mbit/s that is nearly half."""
SHORTEST_QUEUE_BYTES = 256 * 1024
"""So that one transmission is queued rather than dropped."""
QUEUE_S = 0.2


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of a link as it is shaped now, and what has passed it."""

    source: str
    target: str
    bandwidth_bps: int
    sent_bytes: int


def prepare(sender: Node) -> None:
    """Make ready to shape what the node's pods send; the node's cable is fresh."""
    sorting = [
        f"filter add dev eth0 parent 1: protocol ip prio {receiver.number} u32 "
        f"match ip src {sender.pod_range} match ip dst {receiver.pod_range} flowid 1:{receiver.number}"
        for receiver in NODES
        if receiver != sender
    ]
    # What is sorted into a class that does not exist passes as fast as it can.
    _tc(sender, "qdisc add dev eth0 root handle 1: htb default 0", *sorting)


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
    if not bandwidth_bps >= 1:
        raise ClusterError(f"bandwidth {bandwidth_bps!r} is no link; write bits per second, at least 1")
    for sender, receiver in _directions(source, target, both_ways):
        _tc(sender, *_shaping(receiver.number, round(bandwidth_bps)))


def clear_link(source: str, target: str, *, both_ways: bool = True) -> None:
    """Stop shaping between two nodes.

    Raises:
        ClusterError: a node is unknown or not up.
    """
    for sender, receiver in _directions(source, target, both_ways):
        if receiver.name in {link.target for link in _shaped(sender)}:
            _tc(sender, _removal(receiver.number))


def clear() -> None:
    """Stop shaping anything."""
    for sender in NODES:
        removals = [_removal(node(link.target).number) for link in _shaped(sender)]
        if removals:
            _tc(sender, *removals)


def shaped() -> list[Link]:
    """Every direction that is shaped now."""
    return [link for sender in NODES for link in _shaped(sender)]


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


def _shaping(number: int, bandwidth_bps: int) -> list[str]:
    """The bucket's handle is given, so that replacing it changes its pace and keeps what waits in it."""
    burst = max(PACKET_BYTES, round(bandwidth_bps * BURST_S / 8))
    queue = max(SHORTEST_QUEUE_BYTES, round(bandwidth_bps * QUEUE_S / 8))
    peak, most = round(bandwidth_bps * CATCHING_UP), max(PACKET_BYTES, round(bandwidth_bps * PEAK_S / 8))
    bucket = f"tbf rate {bandwidth_bps}bit burst {burst} limit {queue} peakrate {peak}bit mtu {most}"
    return [
        f"class replace dev eth0 parent 1: classid 1:{number} htb {UNSHAPED}",
        f"qdisc replace dev eth0 parent 1:{number} handle {number + 1}: {bucket}",
    ]


def _removal(number: int) -> str:
    return f"class delete dev eth0 classid 1:{number}"


def _shaped(sender: Node) -> list[Link]:
    listed = json.loads(inside(sender, "tc", "-json", "-statistics", "qdisc", "show", "dev", "eth0"))
    names = {f"1:{receiver.number}": receiver.name for receiver in NODES}
    return [
        Link(sender.name, names[entry["parent"]], 8 * entry["options"]["rate"], entry["bytes"])
        for entry in listed
        if entry["kind"] == "tbf"
    ]


def _tc(sender: Node, *commands: str) -> None:
    inside(sender, "tc", "-batch", "-", stdin="\n".join(commands) + "\n")
