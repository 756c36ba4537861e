"""A real Prometheus (Debian's package) on a free loopback port, and metrics for it to scrape."""

import contextlib
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.cluster_gate import need
from tests.support.oci_registry import free_port
from tests.support.patience import PATIENCE_S
from tests.support.stages import wait_for

CONFIGURATION = """
global: {{scrape_interval: 250ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: stages
  static_configs: [{{targets: ['{target}']}}]
"""


class Metrics:
    """What a test wants to be scraped; lines of the text format."""

    def __init__(self):
        self.lines, self.missing = [], False
        metrics = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(404 if metrics.missing else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write("\n".join([*metrics.lines, ""]).encode())

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@dataclass
class RunningPrometheus:
    """A Prometheus process, and what it scrapes."""

    url: str
    metrics: Metrics
    process: "subprocess.Popen[bytes]" = field(repr=False)

    def end(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def prometheus_server(directory: Path) -> Iterator[RunningPrometheus]:
    """A server that keeps its files in `directory`, until the block ends."""
    program = shutil.which("prometheus")
    need("a real Prometheus", [] if program else ["prometheus is not installed"])
    directory.mkdir()
    metrics, url = Metrics(), f"http://127.0.0.1:{free_port()}"
    (directory / "prometheus.yml").write_text(CONFIGURATION.format(target=metrics.address))
    flags = [f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    flags.append(f"--web.listen-address={url.removeprefix('http://')}")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([str(program), *flags], stdout=log, stderr=log)
    running = RunningPrometheus(url, metrics, process)
    try:
        wait_for(lambda: _is_ready(running), PATIENCE_S, f"Prometheus answers; see {directory}/log")
        yield running
    finally:
        if process.poll() is None:
            running.end()
        metrics.close()


def _is_ready(running: RunningPrometheus) -> bool:
    assert running.process.poll() is None, "Prometheus ended"
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{running.url}/-/ready", timeout=2) as answer:
        return answer.status == 200
    return False
