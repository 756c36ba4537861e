"""What a stage is started with."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiersplit_stage.processors import usable_processors

_LOCAL_DRAIN_WAIT_S, _CLUSTER_DRAIN_WAIT_S = 1.0, 5.0
_AGE_OF_DRAIN_WAIT = 0.5
"""Connections that still come while a cluster takes note of a stop have left too, and a busy machine may be late."""


@dataclass(frozen=True, slots=True)
class Options:
    """Arguments of `python -m tiersplit_stage`; addresses are HOST:PORT, port 0 picks one, empty ones are not used.

    Attributes:
        bundle: OCI image layout that holds the blobs; None where they are pulled into `bundle_cache`.
        advertise: where other stages reach `listen`.
        instance: name of this stage in its reports; empty: one is made up.
        cache_limit_bytes: of `bundle_cache`; 0: the volume's size is the limit.
        drain_wait_s: between saying that this stage goes and refusing requests.
        connection_age_s: after which clients connect again; below `drain_wait_s` they have left before a stop.
    """

    deployment: str
    namespace: str
    tier: str
    instance: str
    node: str
    bundle: Path | None
    bundle_cache: Path | None
    cache_limit_bytes: int
    registry_plain_http: bool
    registry_ca: Path | None
    listen: str
    advertise: str
    serve: str
    health: str
    metrics: str
    tls_dir: Path | None
    controller: str
    controller_ca: Path | None
    token_file: Path | None
    route_file: Path | None
    state_dir: Path | None
    ready_file: Path | None
    threads: int
    slowdown: float
    queue: int
    max_in_flight: int
    stuck_s: float
    drain_wait_s: float
    drain_timeout_s: float
    connection_age_s: float


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line; exits with code 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser("tiersplit_stage", description="Runs one tier's segments of a split model.")
    parser.add_argument("--deployment", required=True, help="name of the SplitDeployment")
    parser.add_argument("--namespace", default="", help="its namespace; given: the defaults of a cluster hold")
    parser.add_argument("--tier", required=True, help="the tier that this stage belongs to")
    parser.add_argument("--instance", default="", help="name of this stage, such as its pod's")
    parser.add_argument("--node", default="", help="name of the machine")
    _add_blobs(parser)
    _add_addresses(parser)
    _add_controller(parser)
    _add_limits(parser)
    found = vars(parser.parse_args(arguments))
    if found["bundle"] is None and found["bundle_cache"] is None:
        parser.error("give --bundle (blobs lie here) or --bundle-cache (they are pulled)")
    return Options(**_completed(found))


def _add_blobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, help="OCI image layout with the segments")
    parser.add_argument("--bundle-cache", type=Path, help="keeps what is pulled from the route's bundle")
    parser.add_argument("--cache-limit-bytes", type=_size, default=0, help="bytes of --bundle-cache; 0: the volume's")
    parser.add_argument("--registry-plain-http", action="store_true", help="the registry has no TLS")
    parser.add_argument("--registry-ca", type=Path, help="PEM with whom to trust for the registry")


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", default="127.0.0.1:0", help="where tiers before this one connect")
    parser.add_argument("--advertise", type=_address, default="", help="what they should write; default: --listen")
    parser.add_argument("--serve", default="", help="where clients connect (first tier only)")
    parser.add_argument("--health", default="", help="grpc.health.v1 without TLS: liveness and readiness")
    parser.add_argument("--metrics", default="", help="HOST:PORT of the Prometheus endpoint")
    parser.add_argument("--metrics-port", type=int, help="the same on 127.0.0.1")
    parser.add_argument("--ready-file", type=Path, help="JSON with the addresses, written once they are open")
    parser.add_argument("--tls-dir", type=Path, help="tls.crt, tls.key and ca.crt; without it all is plaintext")


def _add_controller(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--controller", default="", help="where routes come from; without it the kept route is used")
    parser.add_argument("--controller-ca", type=Path, help="PEM with whom to trust there; without it all is plaintext")
    parser.add_argument("--token-file", type=Path, help="bearer token for it, read again at every dial")
    parser.add_argument("--route-file", type=Path, help="serialised Route, taken at start and whenever it changes")
    parser.add_argument("--state-dir", type=Path, help="keeps the last route for a start without controller")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=_positive, help="threads of a segment; default on a cluster: its processors")
    parser.add_argument("--slowdown", type=_factor, default=1.0, help="emulate a tier that is this much slower")
    parser.add_argument("--queue", type=_positive, default=64, help="requests that may wait for the compute thread")
    parser.add_argument("--max-in-flight", type=_positive, default=256, help="requests that a head accepts at once")
    parser.add_argument("--stuck-s", type=_seconds, default=120.0, help="a run that takes longer fails liveness")
    parser.add_argument("--drain-wait-s", type=_seconds, help="time for clients to notice before stopping")
    parser.add_argument("--drain-timeout-s", type=_seconds, default=30.0, help="time for requests in flight to finish")
    parser.add_argument("--connection-age-s", type=_seconds, help="clients connect again after it; 0: never")


def _completed(found: dict[str, Any]) -> dict[str, Any]:
    """What was not given, by what else was."""
    cluster = bool(found["namespace"])
    port = found.pop("metrics_port")
    if port is not None and not found["metrics"]:
        found["metrics"] = f"127.0.0.1:{port}"
    if found["threads"] is None:
        found["threads"] = usable_processors() if cluster else 1
    if found["drain_wait_s"] is None:
        found["drain_wait_s"] = _CLUSTER_DRAIN_WAIT_S if cluster else _LOCAL_DRAIN_WAIT_S
    if found["connection_age_s"] is None:
        found["connection_age_s"] = _AGE_OF_DRAIN_WAIT * found["drain_wait_s"] if cluster else 0.0
    return found


def _address(text: str) -> str:
    """HOST:PORT; an IPv6 address that a pod got without brackets is given its own."""
    host, _, port = text.rpartition(":")
    if text and not (host and port.isdecimal()):
        raise argparse.ArgumentTypeError("expected HOST:PORT")
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else text


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _size(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("at least 0")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 86_400.0:
        raise argparse.ArgumentTypeError("between 0 and 86400 seconds")
    return value


def _factor(text: str) -> float:
    value = float(text)
    if not 1.0 <= value <= 10_000.0:
        raise argparse.ArgumentTypeError("between 1 and 10000")
    return value
