"""A real OCI registry (Debian's docker-registry) on a free loopback port, and a proxy before it that misbehaves."""

import contextlib
import http.client
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.cluster_gate import need
from tests.support.patience import PATIENCE_S
from tests.support.stages import wait_for

USER, PASSWORD = "reader", "open sesame"
HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n"


@dataclass
class RunningRegistry:
    """A registry process: where it listens and where it keeps its files."""

    host: str
    root: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)

    def blob_file(self, digest):
        """The file in which the registry keeps a blob."""
        name = digest.removeprefix("sha256:")
        return self.root / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"

    def end(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)


PORTS = range(20_000, 30_000)
"""Below those that the system gives to whoever asks for any, so that nobody gets one between its choice and its use."""


def free_port():
    """A port of every address of this machine on which nothing listens."""
    for port in random.SystemRandom().sample(PORTS, 1000):
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port
    raise AssertionError("all ports are taken")


@contextlib.contextmanager
def oci_registry(directory: Path, port=0, password=False, certificate=None) -> Iterator[RunningRegistry]:
    """A registry that keeps its files in `directory`, until the block ends.

    `certificate` is a pair of PEM files (certificate, key).
    """
    program = shutil.which("docker-registry")
    need("OCI registry", [] if program else ["docker-registry is not installed (Debian's package of that name)"])
    port = port or free_port()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yml").write_text(_configuration(directory, port, password, certificate))
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen([program, "serve", str(directory / "config.yml")], stdout=log, stderr=log)
    registry = RunningRegistry(f"127.0.0.1:{port}", directory, process)
    try:
        wait_for(lambda: answers(port), what=f"docker-registry listens; see {directory / 'log'}")
        yield registry
    finally:
        registry.end()


def _configuration(directory, port, password, certificate):
    (directory / "htpasswd").write_text(HTPASSWD)
    tls = "" if certificate is None else f", tls: {{certificate: '{certificate[0]}', key: '{certificate[1]}'}}"
    login = f"auth: {{htpasswd: {{realm: test, path: '{directory / 'htpasswd'}'}}}}\n" if password else ""
    return (
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: '{directory}'}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'{tls}}}\n{login}"
    )


def answers(port):
    """Whether something listens there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class Answer:
    """What a proxy sends: the registry's answer, or something worse."""

    status: int
    headers: list
    body: bytes
    cut_after: int | None = None


Rule = Callable[[str, str, Answer, dict], Answer | None]


@dataclass
class Proxy:
    """Stands between client and registry.

    `rules` see each (method, path, answer, request headers) and may change the answer; None of a rule drops the
    connection. `seen` lists the requests as "METHOD path".
    """

    host: str
    rules: list = field(default_factory=list)
    before: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    headers: list = field(default_factory=list)


@contextlib.contextmanager
def proxy(registry: str) -> Iterator[Proxy]:
    """A proxy before `registry`; `before` rules see (method, path, headers) and may answer in its place."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.target = registry
    server.proxy = Proxy(f"127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_S)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do(self):
        proxy, headers = self.server.proxy, {key.lower(): value for key, value in self.headers.items()}
        proxy.seen.append(f"{self.command} {self.path}")
        proxy.headers.append(headers)
        body = self.rfile.read(int(headers.get("content-length", 0)))
        for rule in proxy.before:
            if (answer := rule(self.command, self.path, headers)) is not None:
                return self._send(answer)
        answer = self._forward(body)
        for rule in proxy.rules:
            answer = rule(self.command, self.path, answer, headers)
            if answer is None:
                return self._drop()
        return self._send(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do  # noqa: N815 - names that http.server looks for

    def _forward(self, body):
        connection = http.client.HTTPConnection(self.server.target, timeout=PATIENCE_S)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            found = connection.getresponse()
            return Answer(found.status, found.getheaders(), found.read())
        finally:
            connection.close()

    def _send(self, answer):
        self.send_response_only(answer.status)
        for key, value in answer.headers:
            self.send_header(key, value)
        with contextlib.suppress(OSError):  # a client may have heard enough
            self.end_headers()
            self.wfile.write(answer.body[: answer.cut_after])
            if answer.cut_after is not None:
                self._drop()

    def _drop(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass
