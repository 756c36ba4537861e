"""The real operator process against a real API server, and the Jobs of a cluster that has no controllers."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc

from tests.cluster.apiserver import ApiServer
from tests.support.calibrated import validation
from tests.support.oci_registry import free_port
from tests.support.patience import PATIENCE_S
from tests.support.quantised_cnn import quantised_cnn
from tests.support.small_cnn import small_cnn
from tests.support.surfaces import made_up_profile
from tiersplit_bundle import Bundle, BundleSegment, extend, media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.layout import canonical_json
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_bundle.writer import Blob
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.planning.surface import surface_from_json
from tiersplit_core.profile.json import profile_to_json
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.metrics import comparison
from tiersplit_import.rating import rate, with_accuracy
from tiersplit_import.segments import missing_segments
from tiersplit_wire.v1 import route_pb2 as pb
from tiersplit_wire.v1 import route_pb2_grpc

SECONDS = {"edge": 2e-3, "cloud": 1e-4}
STEPS_S = 300.0
"""Until all that one resource needs was planned, cut, measured and deployed."""
ROOT = Path(__file__).parents[2]


def eventually(check: Callable[[], Any], what: str, patience_s: float = STEPS_S) -> Any:
    """What `check` returns once that is true."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {patience_s:.0f} s: {what}")


@dataclass
class Namespace:
    """A namespace of its own, and what kubectl says of it."""

    server: ApiServer
    name: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.server.kubectl("-n", self.name, *arguments, stdin=stdin)

    def apply(self, document: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(document))

    def get(self, kind: str, name: str = "") -> Any:
        """The object, or None; without a name the objects of that kind, by name."""
        found = json.loads(
            self.kubectl("get", kind, *([name] if name else []), "--ignore-not-found", "-o", "json") or "null"
        )
        if name:
            return found
        return {item["metadata"]["name"]: item for item in (found or {}).get("items", [])}

    def status(self, name: str) -> dict[str, Any]:
        return (self.get("splitdeployment", name) or {}).get("status", {})

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        return next((item for item in self.status(name).get("conditions", []) if item["type"] == kind), {})

    def events(self) -> set[str]:
        return {item["reason"] for item in self.get("events.events.k8s.io").values()}


@dataclass
class OperatorProcess:
    """A running operator."""

    process: "subprocess.Popen[bytes]"
    metrics_port: int
    probe_port: int
    routes: str
    log: Path

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def alive(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probe_port}/healthz", timeout=PATIENCE_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def operator_process(
    namespace: Namespace, registry: str, log: Path, identity: str = "one"
) -> Iterator[OperatorProcess]:
    """The operator, watching one namespace."""
    metrics_port, probe_port, routes_port = free_port(), free_port(), free_port()
    environment = {
        "STAGE_IMAGE": "registry.test/stage:1",
        "IMPORT_IMAGE": "registry.test/import:1",
        "REGISTRY": f"{registry}/tiersplit",
        "REGISTRY_PLAIN_HTTP": "true",
        "NAMESPACES": namespace.name,
        "NAMESPACE": namespace.name,
        "IDENTITY": identity,
        "METRICS_PORT": str(metrics_port),
        "PROBE_PORT": str(probe_port),
        "ROUTES_LISTEN": f"127.0.0.1:{routes_port}",
    }
    known = {key: value for key, value in os.environ.items() if not key.startswith("TIERSPLIT_")}
    own = {f"TIERSPLIT_{key}": value for key, value in environment.items()}
    command = [sys.executable, "-m", "tiersplit_operator"]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, env={**known, **own, "KUBECONFIG": str(namespace.server.kubeconfig)}, stdout=file, stderr=file
        )
    found = OperatorProcess(process, metrics_port, probe_port, f"127.0.0.1:{routes_port}", log)
    try:
        yield found
    finally:
        if process.poll() is None:
            found.end()


def push_profiled_bundle(host: str, directory: Path, tag: str = "v1") -> str:
    """A small network with made-up profiles of an edge and a cloud, in the registry; its reference."""
    bundle = Bundle.open(small_cnn(directory))
    reference = Reference.parse(f"oci://{host}/tiersplit/small-cnn")
    with Registry(reference, RegistryAccess(plain_http=True)) as registry:
        registry.push_bundle(bundle, "plain")
        profiles = [made_up_profile(bundle.graph, bundle.graph_digest, tier, s) for tier, s in SECONDS.items()]
        registry.extend([Blob(media.PROFILE, canonical_json(profile_to_json(p))) for p in profiles], tag, "plain")
    return str(reference.at(tag))


def push_rated_bundle(host: str, directory: Path) -> tuple[str, Path]:
    """A small calibrated network whose accuracy was measured, without profiles; its reference and validation data."""
    bundle = quantised_cnn(directory)
    data = validation(bundle, directory.with_suffix(".npz"))
    bundle = with_accuracy(bundle, data, comparison("Top1"))
    reference = Reference.parse(f"oci://{host}/tiersplit/rated-cnn")
    with Registry(reference, RegistryAccess(plain_http=True)) as registry:
        registry.push_bundle(bundle, "v1")
    return str(reference.at("v1")), data


def play_job(namespace: Namespace, job: Mapping[str, Any], directory: Path) -> None:
    """Do what a Job's pod would do, and end the Job as its controller would."""
    container = job["spec"]["template"]["spec"]["containers"][0]
    words = [*container["command"], *container["args"]]
    given = dict(pairwise(words))
    with Registry(Reference.parse(given["--bundle"]), RegistryAccess(plain_http=True)) as registry:
        bundle = registry.pull_bundle(directory / job["metadata"]["name"])
        if "materialise" in words:
            plans = surface_from_json(bundle.read_json(media.SURFACE)).plans
            added = missing_segments(bundle, segments_of(bundle.graph, plans))
            if "--model" in words:
                added += _ratings(namespace, extend(bundle, added) if added else bundle, plans)
            registry.extend(added, given["--push-tag"])
        else:
            _push_profile(registry, bundle, given)
    end_job(namespace, job["metadata"]["name"])


def _ratings(namespace: Namespace, bundle: Bundle, plans: Sequence[Plan]) -> list[Blob]:
    """What the Job measures with the data that the resource's ConfigMap names."""
    told = json.loads(namespace.get("configmap", "digits-model")["data"]["model.json"])["model"]["validation"]
    return rate(bundle, plans, Path(told["uri"]), comparison(told["metric"]))


def _push_profile(registry: Registry, bundle: Bundle, given: Mapping[str, str]) -> None:
    """Segments take exactly what their layers take, and a third of it in a quantised form."""
    tier = given["--tier"]
    wanted = {part for part in given.get("--segments", "").split(",") if part}
    timings = {s.digest: Timing(_seconds(tier, s)) for s in bundle.segments if s.digest in wanted}
    layers = {} if wanted else {name: Timing(SECONDS[tier]) for name in bundle.graph.index}
    quick = {name: Timing(SECONDS[tier] / 3) for name in layers}
    forms = {RunForm(form): quick for form in given["--forms"].split(",") if form != "none"}
    batch = BatchProfile(layers, Timing(SECONDS[tier] * len(bundle.graph.layers)), timings, forms=forms)
    profile = TierProfile(tier, ProfileKind.MEASURED, bundle.graph_digest, 1, {"cpu": "made up"}, {1: batch})
    registry.push_artifact(
        Blob(media.PROFILE, canonical_json(profile_to_json(profile))), media.PROFILE, given["--push-tag"]
    )


def _seconds(tier: str, segment: BundleSegment) -> float:
    return SECONDS[tier] * len(segment.layers) / (3 if RunForm.INT8 in segment.id else 1)


def end_job(namespace: Namespace, name: str, failed: str = "") -> None:
    """The Job's status, as the Job controller leaves it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kinds = ("FailureTarget", "Failed") if failed else ("SuccessCriteriaMet", "Complete")
    about = {"status": "True", "lastTransitionTime": now, "lastProbeTime": now, "reason": "Ended", "message": failed}
    status = {"startTime": now, "conditions": [{"type": kind, **about} for kind in kinds]}
    status |= {"failed": 5} if failed else {"succeeded": 1, "completionTime": now}
    namespace.kubectl(
        "patch", "job", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
    )


def stage_pod(namespace: Namespace, tier: str) -> str:
    """A stage's pod, ready as far as its status says; returns a token of it."""
    name = f"digits-{tier}-0"
    labels = {
        "app.kubernetes.io/managed-by": "tiersplit",
        "tiersplit.dev/deployment": "digits",
        "tiersplit.dev/tier": tier,
    }
    spec = {"serviceAccountName": "digits-stage", "containers": [{"name": "stage", "image": "registry.test/stage:1"}]}
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec})
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    namespace.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    bound = ["--bound-object-kind=Pod", f"--bound-object-name={name}"]
    return namespace.kubectl("create", "token", "digits-stage", "--audience=tiersplit", *bound).strip()


@contextlib.contextmanager
def played_stage(operator: OperatorProcess, namespace: Namespace, tier: str) -> Iterator[list[pb.Route]]:
    """A stage that takes every route and finds every plan good; yields the routes that it was told."""
    token, told, ended = stage_pod(namespace, tier), [pb.Route()], threading.Event()

    def reports() -> Iterator[pb.StageReport]:
        while not ended.is_set():
            plans = [plan.digest for plan in told[-1].plans]
            yield pb.StageReport(
                deployment="digits",
                namespace=namespace.name,
                tier=tier,
                instance=f"digits-{tier}-0",
                node=f"node-{tier}",
                epoch=told[-1].epoch,
                resident=[segment.id for segment in told[-1].segments],
                selectable=plans,
                active=told[-1].selected,
            )
            ended.wait(0.5)

    with grpc.insecure_channel(operator.routes) as channel:
        stream = route_pb2_grpc.RoutesStub(channel).Watch(reports(), metadata=[("authorization", f"Bearer {token}")])

        def listen() -> None:
            with contextlib.suppress(grpc.RpcError):
                told.extend(stream)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield told
        finally:
            ended.set()
            stream.cancel()
            listener.join(PATIENCE_S)
