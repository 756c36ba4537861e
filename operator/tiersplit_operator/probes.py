"""What the kubelet and Prometheus ask the operator, whichever IP family the pod has."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import prometheus_client
from aiohttp import web

PATH = "/healthz"
EVERYWHERE, EVERYWHERE_IPV4 = "::", "0.0.0.0"  # noqa: S104 - the kubelet dials the pod's own address


@contextlib.asynccontextmanager
async def probed(port: int, complaint: Callable[[], str]) -> AsyncIterator[None]:
    """Answer `/healthz` with 200, or with 503 and a complaint.

    Args:
        port: of all the pod's addresses.
        complaint: why this process should be started again; empty: it is fine.

    Raises:
        OSError: the port cannot be opened.
    """

    async def answer(_: web.Request) -> web.Response:
        said = complaint()
        return web.Response(text=said or "alive", status=503 if said else 200)

    app = web.Application()
    app.add_routes([web.get(PATH, answer)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listening(port)).start()
        yield
    finally:
        await runner.cleanup()


def listening(port: int) -> socket.socket:
    """A socket that listens on IPv6 and IPv4, or on IPv4 alone where the pod has nothing else.

    asyncio opens `::` for IPv6 alone, and 0.0.0.0 is no address of a pod that has IPv6 alone.
    """
    with contextlib.suppress(OSError):
        return socket.create_server((EVERYWHERE, port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server((EVERYWHERE_IPV4, port))


def serve_metrics(port: int) -> Callable[[], None]:
    """Serve the metrics of this process to Prometheus; returns what ends that.

    Raises:
        OSError: the port cannot be opened.
    """
    try:
        server, _ = prometheus_client.start_http_server(port, EVERYWHERE)
    except OSError:
        server, _ = prometheus_client.start_http_server(port, EVERYWHERE_IPV4)
    return server.shutdown
