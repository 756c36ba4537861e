"""Stages as pods run them: blobs in a registry, a mounted route, a Service before the head, a controller with TLS."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.patience import PATIENCE_S
from tests.support.stages import MODEL, wait_for
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.layout import Descriptor, canonical_json
from tiersplit_bundle.manifest import EMPTY, manifest_of
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_wire.v1 import route_pb2_grpc as rpc

NAMESPACE = "plates"


def push_model(model, host: str) -> str:
    """Put the tiny model's blobs into a registry; the reference that routes carry."""
    files = sorted((model.bundle / "blobs" / "sha256").iterdir())
    layers = [Descriptor("application/octet-stream", f"sha256:{file.name}", file.stat().st_size) for file in files]
    with Registry(Reference.parse(f"oci://{host}/models/tiny"), RegistryAccess(plain_http=True)) as registry:
        for file in files:
            registry.push_blob(file)
        registry.push_blob(b"{}")
        digest = registry.push_manifest(canonical_json(manifest_of(EMPTY, layers)))
        return str(registry.reference.at(digest))


def kept_blobs(cache) -> set[str]:
    """Digests of the blobs in a stage's cache."""
    return {f"sha256:{path.name}" for path in (cache / "blobs" / "sha256").iterdir() if not path.name.startswith(".")}


def probe(address: str, service: str) -> str:
    """What a kubelet would see."""
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE_S).status
    return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


def wait_probe(address: str, service: str, status: str, timeout_s: float = PATIENCE_S) -> None:
    wait_for(lambda: probe(address, service) == status, timeout_s, f"{service} is {status}")


class MountedRoute:
    """A ConfigMap's mount, swapped as the kubelet does it."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder, self.path, self._versions = folder, folder / "route.binpb", 0

    def put(self, data: bytes) -> None:
        self._versions += 1
        version = self.folder / f"..v{self._versions}"
        version.mkdir()
        (version / "route.binpb").write_bytes(data)
        swapped = self.folder / "..tmp"
        swapped.symlink_to(version.name)
        swapped.replace(self.folder / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/route.binpb")


class Service:
    """What kube-proxy is to a client: a connection goes to the address chosen when it opens, and stays there."""

    def __init__(self, target: str):
        self.target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(PATIENCE_S)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _open(self):
        return await asyncio.start_server(self._connect, "127.0.0.1", 0)

    async def _connect(self, reader, writer):
        host, _, port = self.target.rpartition(":")
        try:
            back, forth = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, forth), _pump(back, writer))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)


async def _pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


class SecureController(rpc.RoutesServicer):
    """An operator's replica behind TLS: notes the tokens it is shown; without `leads` it sends the route and ends."""

    def __init__(self, pair, route):
        self.route, self.leads = route, True
        self.tokens, self.reports = [], []
        self._closing = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8))
        rpc.add_RoutesServicer_to_server(self, self._server)
        credentials = grpc.ssl_server_credentials([(pair.key, pair.chain)])
        self.address = f"localhost:{self._server.add_secure_port('127.0.0.1:0', credentials)}"
        self._server.start()

    def Watch(self, request_iterator, context):  # noqa: N802
        self.tokens.append(dict(context.invocation_metadata()).get("authorization", ""))
        yield self.route
        if not self.leads:
            context.abort(grpc.StatusCode.UNAVAILABLE, "another replica leads")
        for report in request_iterator:
            self.reports.append(report)
            if self._closing.is_set():
                return

    def close(self) -> None:
        self._closing.set()
        self._server.stop(0).wait()


__all__ = ["MODEL", "NAMESPACE", "MountedRoute", "SecureController", "Service", "kept_blobs", "probe", "push_model"]
