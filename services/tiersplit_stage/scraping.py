"""Where Prometheus scrapes: an HTTP server that no crowd of connections makes grow."""

import contextlib
import socket
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

MAX_CONNECTIONS = 8
"""Each has a thread of its own, and all of them take processor time from requests."""
_SILENCE_S = 10.0


def serve_scrapes(host: str, port: int, registry: CollectorRegistry) -> int:
    """Answer scrapes in threads that end with the process; returns the port (`port` 0 picks one).

    Raises:
        OSError: the address cannot be opened.
    """
    server = _Server((host, port), _Handler)
    server.set_app(make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, name="scrapes", daemon=True).start()
    return server.server_port


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE_S

    def log_message(self, *_: Any) -> None:
        """Scrapes are no news."""


class _Server(ThreadingWSGIServer):
    """One connection too many ends the oldest: who scrapes is answered at once, who only holds on is not waited for."""

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self.address_family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        self._open: dict[socket.socket, None] = {}
        self._changing = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for the connection."""
        with self._changing:
            self._open[request] = None
            if len(self._open) > MAX_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The connection was answered, or ended."""
        with self._changing:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was ended, or broke: nobody waits for it."""
