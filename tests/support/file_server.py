"""An HTTPS server of one file, with its own certificate authority, that can misbehave; and a real S3-like server."""

import contextlib
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.cluster import programs
from tests.cluster.layout import ClusterError
from tests.support.certificates import Authority
from tests.support.cluster_gate import need
from tests.support.oci_registry import answers, free_port
from tests.support.patience import PATIENCE_S
from tests.support.stages import wait_for

BUCKET = "models"


@dataclass
class FileServer:
    """What is served, and how.

    Attributes:
        data: the file.
        url: of the file.
        ca_file: that its certificate descends from.
        etag: of the file; empty: none is sent.
        ranges: whether parts of the file can be asked for.
        rule: may answer instead, by (request headers, number of the request): a status, or (status, Location).
        cut_after: the first answers end after so many bytes each.
        length: whether the size is told.
        starts: where each request began.
    """

    data: bytes
    url: str = ""
    ca_file: Path = Path()
    etag: str = '"v1"'
    ranges: bool = True
    rule: Callable = lambda headers, number: None
    cut_after: list = field(default_factory=list)
    length: bool = True
    starts: list = field(default_factory=list)


@contextlib.contextmanager
def file_server(directory: Path, data: bytes) -> Iterator[FileServer]:
    """Serve `data` by HTTPS on loopback until the block ends."""
    authority = Authority()
    pair = authority.issue("127.0.0.1", "localhost")
    (directory / "ca.crt").write_bytes(authority.pem)
    (directory / "server.pem").write_bytes(pair.chain + pair.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.about = FileServer(data, f"https://127.0.0.1:{server.server_address[1]}/model.onnx", directory / "ca.crt")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.about
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_S)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        about, headers = self.server.about, {key.lower(): value for key, value in self.headers.items()}
        start = int(headers.get("range", "bytes=0-")[6:-1])
        about.starts.append(start)
        self.close_connection = True
        if (other := about.rule(headers, len(about.starts))) is not None:
            return self._refuse(*(other if isinstance(other, tuple) else (other, "")))
        if not about.ranges or headers.get("if-range", about.etag) != about.etag:
            start = 0
        return self._serve(about, start)

    def _refuse(self, status, location):
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        if location:
            self.send_header("Location", location)
        self.end_headers()

    def _serve(self, about, start):
        body = about.data[start:]
        self.send_response_only(206 if start else 200)
        if about.etag:
            self.send_header("ETag", about.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(about.data) - 1}/{len(about.data)}")
        if about.length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[: about.cut_after.pop(0)] if about.cut_after else body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def s3_server(directory: Path) -> Iterator[str]:
    """A real S3-like server (gofakes3) on loopback; HOST:PORT. Its bucket is called `BUCKET`."""
    try:
        program, lacking = programs.binary("gofakes3"), []
    except ClusterError as error:
        program, lacking = None, [str(error)]
    need("S3 server", lacking)
    port = free_port()
    command = [program, "-backend", "memory", "-initialbucket", BUCKET, "-host", f"127.0.0.1:{port}"]
    with (directory / "s3.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(port), what=f"gofakes3 listens; see {directory / 's3.log'}")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
