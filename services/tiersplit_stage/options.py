"""What a stage is started with."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """Arguments of `python -m tiersplit_stage`; addresses are HOST:PORT, port 0 picks one."""

    deployment: str
    tier: str
    bundle: Path
    listen: str
    serve: str
    controller: str
    threads: int
    slowdown: float
    queue: int
    max_in_flight: int
    metrics: str
    ready_file: Path | None
    state_dir: Path | None
    drain_wait_s: float
    drain_timeout_s: float


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line; exits with code 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser("tiersplit_stage", description="Runs one tier's segments of a split model.")
    parser.add_argument("--deployment", required=True, help="name of the SplitDeployment")
    parser.add_argument("--tier", required=True, help="the tier that this stage belongs to")
    parser.add_argument("--bundle", required=True, type=Path, help="OCI image layout with the segments")
    parser.add_argument("--listen", default="127.0.0.1:0", help="where tiers before this one connect")
    parser.add_argument("--serve", default="", help="where clients connect (first tier only)")
    parser.add_argument("--controller", default="", help="where routes come from; without it the kept route is used")
    parser.add_argument("--threads", type=_positive, default=1, help="threads of a segment")
    parser.add_argument("--slowdown", type=_factor, default=1.0, help="emulate a tier that is this much slower")
    parser.add_argument("--queue", type=_positive, default=64, help="requests that may wait for the compute thread")
    parser.add_argument("--max-in-flight", type=_positive, default=256, help="requests that a head accepts at once")
    parser.add_argument("--metrics", default="", help="HOST:PORT of the Prometheus endpoint")
    parser.add_argument("--metrics-port", type=int, help="the same on 127.0.0.1")
    parser.add_argument("--ready-file", type=Path, help="JSON with the addresses, written once they are open")
    parser.add_argument("--state-dir", type=Path, help="keeps the last route for a start without controller")
    parser.add_argument("--drain-wait-s", type=float, default=1.0, help="time for clients to notice before stopping")
    parser.add_argument("--drain-timeout-s", type=float, default=30.0, help="time for requests in flight to finish")
    found = vars(parser.parse_args(arguments))
    port = found.pop("metrics_port")
    if port is not None and not found["metrics"]:
        found["metrics"] = f"127.0.0.1:{port}"
    return Options(**found)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _factor(text: str) -> float:
    value = float(text)
    if not 1.0 <= value <= 10_000.0:
        raise argparse.ArgumentTypeError("between 1 and 10000")
    return value
