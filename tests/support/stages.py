"""Real stage processes for tests: a tiny model in three segments, a controller that serves routes."""

import contextlib
import hashlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from tests.support.patience import PATIENCE_S, START_S
from tiersplit_wire.v1 import route_pb2 as pb
from tiersplit_wire.v1 import route_pb2_grpc as rpc

TIERS = ("edge", "mdc", "cloud")
MODEL = "tiny"
WIDTH = 64


def wait_for(condition: Callable[[], object], timeout_s: float = PATIENCE_S, what: str = "") -> object:
    """What `condition` returns once it is true."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := condition():
            return found
        threading.Event().wait(0.02)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class TinyModel:
    """y = relu(x W1); z = y W2, aux = mean(z); out = (z + y) W3: `y` crosses every cut, `aux` is an early output."""

    def __init__(self, bundle: Path, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.w1, self.w2, self.w3 = (
            random.normal(size=shape).astype(np.float32) / 4 for shape in ((4, WIDTH), (WIDTH, WIDTH), (WIDTH, 3))
        )
        self.bundle = bundle
        (bundle / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        self.segments = [
            self._segment("a", [("MatMul", ["x", "w1"], "h"), ("Relu", ["h"], "y")], ["x"], ["y"], {"w1": self.w1}),
            self._segment(
                "b",
                [("MatMul", ["y", "w2"], "z"), ("ReduceMean", ["z", "axes"], "aux")],
                ["y"],
                ["z", "aux"],
                {"w2": self.w2, "axes": np.array([1], np.int64)},
            ),
            self._segment(
                "c", [("Add", ["z", "y"], "s"), ("MatMul", ["s", "w3"], "out")], ["z", "y"], ["out"], {"w3": self.w3}
            ),
        ]
        self.golden_input = random.normal(size=(1, 4)).astype(np.float32)
        answer = self.reference(self.golden_input)
        self.golden = self.blob(
            save({"input/image": self.golden_input, **{f"output/{k}": v for k, v in answer.items()}})
        )

    def reference(self, x):
        """What the unsplit model answers."""
        y = np.maximum(x @ self.w1, 0)
        z = y @ self.w2
        return {"scores": (z + y) @ self.w3, "aux": z.mean(axis=1, keepdims=True)}

    def blob(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (self.bundle / "blobs" / "sha256" / digest).write_bytes(data)
        return f"sha256:{digest}"

    def _segment(self, name, nodes, inputs, outputs, weights) -> pb.Segment:
        initialisers, digests = [], []
        for key, array in weights.items():
            tensor = numpy_helper.from_array(array, key)
            if array.nbytes >= 1024:
                digests.append(self.blob(array.tobytes()))
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
                for k, v in (("location", digests[-1][7:]), ("offset", "0"), ("length", str(array.nbytes))):
                    tensor.external_data.add(key=k, value=v)
            initialisers.append(tensor)
        info = [
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", None]) for n in names]
            for names in (inputs, outputs)
        ]
        made = [helper.make_node(op, ins, [out], name=out) for op, ins, out in nodes]
        graph = helper.make_graph(made, name, info[0], info[1], initialisers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        onnx.checker.check_model(model, full_check=False) if not digests else None
        return pb.Segment(
            id=name, blob=self.blob(model.SerializeToString()), weights=digests, inputs=inputs, outputs=outputs
        )

    def route(
        self,
        epoch: int,
        plans: Sequence[str],
        selected: str,
        endpoints: Mapping[str, Sequence[str]],
        *,
        fallback: str = "",
        bits: int = 0,
        encoding: str = "",
        tiers: Sequence[str] = TIERS,
        probe_budget_bps: int = 0,
    ) -> pb.Route:
        """A route with plans such as `"012"`: the tier index of each segment; the digest of a plan is that text."""
        route = pb.Route(
            deployment=MODEL, epoch=epoch, selected=selected, fallback=fallback, golden_blobs=[self.golden]
        )
        route.probe_budget_bps = probe_budget_bps
        route.model.name, route.model.version, route.model.max_batch = MODEL, "1", 64
        route.model.inputs.add(name="image", tensor="x", datatype="FP32", shape=[-1, 4])
        route.model.outputs.add(name="scores", tensor="out", datatype="FP32", shape=[-1, 3])
        route.model.outputs.add(name="aux", tensor="aux", datatype="FP32", shape=[-1, 1])
        route.segments.extend(self.segments)
        for digest in plans:
            plan = route.plans.add(digest=digest)
            for segment, tier in zip("abc", digest, strict=True):
                plan.segments.add(segment=segment, tier=tiers[int(tier)])
            if bits or encoding:
                for tensor in ("x", "y", "z"):
                    plan.crossings.add(tensor=tensor, bits=bits, encoding=encoding)
        for tier in tiers:
            route.tiers.add(tier=tier, addresses=endpoints.get(tier, ()))
        return route


class Controller(rpc.RoutesServicer):
    """Serves routes to whoever watches, and keeps the reports."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self.reports: dict[str, pb.StageReport] = {}
        self.links: list[pb.LinkObservation] = []
        self._watchers: set[queue.SimpleQueue] = set()
        self._route: pb.Route | None = None
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(16))
        rpc.add_RoutesServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(address)
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def Watch(self, request_iterator, context):  # noqa: N802
        mine: queue.SimpleQueue = queue.SimpleQueue()
        with self._lock:
            self._watchers.add(mine)
            if self._route is not None:
                mine.put(self._route)
        threading.Thread(target=self._read, args=(request_iterator, mine), daemon=True).start()
        while (route := mine.get()) is not None:
            yield route

    def _read(self, reports, mine):
        with contextlib.suppress(grpc.RpcError, Exception):
            for report in reports:
                self.reports[report.tier] = report
                self.links.extend(report.links)
        mine.put(None)

    def publish(self, route: pb.Route) -> None:
        with self._lock:
            self._route = route
            for watcher in self._watchers:
                watcher.put(route)

    def wait_selectable(self, *digests: str, timeout_s: float = PATIENCE_S) -> None:
        def proven():
            head = self.reports.get(TIERS[0])
            return head is not None and set(digests) <= set(head.selectable)

        wait_for(proven, timeout_s, f"{digests} selectable; the head says {self.reports.get(TIERS[0])}")

    def wait_active(self, digest: str, timeout_s: float = PATIENCE_S) -> None:
        wait_for(
            lambda: TIERS[0] in self.reports and self.reports[TIERS[0]].active == digest, timeout_s, f"{digest} active"
        )

    def close(self) -> None:
        with self._lock:
            for watcher in self._watchers:
                watcher.put(None)
        self._server.stop(0).wait()


class StageProcess:
    """One `python -m tiersplit_stage`."""

    def __init__(
        self,
        tier: str,
        bundle: Path,
        folder: Path,
        controller: str,
        *extra: str,
        head: bool = False,
        deployment: str = MODEL,
        core: int | None = None,
    ) -> None:
        ready = folder / f"{tier}-{time.monotonic_ns()}.json"
        command = [] if core is None else ["taskset", "-c", str(core)]
        command += [sys.executable, "-m", "tiersplit_stage", "--deployment", deployment, "--tier", tier]
        command += ["--bundle", str(bundle), "--listen", "127.0.0.1:0", "--ready-file", str(ready)]
        command += ["--controller", controller] if controller else []
        command += ["--serve", "127.0.0.1:0"] if head else []
        self.log = folder / f"{ready.stem}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, *extra], stdout=log, stderr=subprocess.STDOUT)
        wait_for(lambda: ready.exists() or self.process.poll() is not None, START_S, f"{tier} ready")
        if not ready.exists():
            raise AssertionError(f"{tier} ended: {self.log.read_text()}")
        self.said = json.loads(ready.read_text())
        self.address, self.client_address = self.said["address"], self.said["client_address"]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Deployment:
    """A controller and one process per tier."""

    def __init__(
        self, folder: Path, tiers: Sequence[str] = TIERS, extra: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.folder, self.tiers = folder, tiers
        self.model = TinyModel(folder / "bundle")
        self.controller = Controller()
        self.epoch = 0
        extra = extra or {}
        with ThreadPoolExecutor(len(tiers)) as pool:
            started = pool.map(lambda tier: self.start(tier, *extra.get(tier, ())), tiers)
        self.stages = dict(zip(tiers, started, strict=True))
        self.addresses = {tier: [stage.address] for tier, stage in self.stages.items()}

    def start(self, tier: str, *extra: str) -> StageProcess:
        return StageProcess(
            tier, self.model.bundle, self.folder, self.controller.address, *extra, head=tier == self.tiers[0]
        )

    @property
    def head(self) -> str:
        return self.stages[self.tiers[0]].client_address

    def publish(self, plans: Sequence[str], selected: str, **more) -> None:
        self.epoch += 1
        self.controller.publish(self.model.route(self.epoch, plans, selected, self.addresses, tiers=self.tiers, **more))

    def close(self) -> None:
        for stage in self.stages.values():
            stage.process.terminate()
        for stage in self.stages.values():
            stage.stop()
        self.controller.close()


@contextlib.contextmanager
def deployment(folder: Path, **more) -> Iterator[Deployment]:
    made = Deployment(folder, **more)
    try:
        yield made
    finally:
        made.close()
