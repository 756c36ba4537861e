"""An emulated link: a real relay process between real sockets."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

TIMEOUT_S = 60.0
FOUND_WITHIN_S = 400.0
"""A moment in which nobody disturbs the link, on a machine however busy."""


class Sink:
    """A server that counts what arrives, or echoes it."""

    def __init__(self, echo: bool) -> None:
        self.echo, self.received, self.last_at = echo, 0, 0.0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                self.received, self.last_at = self.received + len(data), time.monotonic()
                if self.echo:
                    connection.sendall(data)
            connection.sendall(b"end")


class RelayProcess:
    def __init__(self, target: str, *options: str) -> None:
        command = [sys.executable, "-m", "tiersplit_local.relay", "--target", target, *options]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["address"]

    def tell(self, **value: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=TIMEOUT_S)


@contextmanager
def running(*options: str, echo: bool = False) -> Iterator[tuple[Sink, RelayProcess]]:
    sink = Sink(echo)
    relay = RelayProcess(sink.address, *options)
    try:
        yield sink, relay
    finally:
        assert relay.process.stdin is not None
        relay.process.stdin.close()
        assert relay.process.wait(timeout=TIMEOUT_S) == 0
        assert relay.process.stderr is not None
        assert relay.process.stderr.read() == ""
        sink.listener.close()


def transfer(relay: RelayProcess, size: int) -> float:
    """Seconds until `size` bytes and the end have gone there and the farewell has come back."""
    with relay.connect() as connection:
        begin = time.monotonic()
        connection.sendall(bytes(size))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
        return time.monotonic() - begin


def fastest(measure: Callable[[], float], expected_s: float, within: float) -> float:
    """The least of the measurements: a busy machine delays but never hastens, so it shows the link itself."""
    end, least = time.monotonic() + FOUND_WITHIN_S, measure()
    while least > (1 + within) * expected_s and time.monotonic() < end:
        least = min(least, measure())
    return least


@pytest.mark.parametrize(("bandwidth_bps", "size"), [(40e6, 5_000_000), (0.5e6, 31_250), (200e6, 5_000_000)])
def test_bytes_take_as_long_as_the_bandwidth_says(bandwidth_bps: float, size: int) -> None:
    expected = 8 * size / bandwidth_bps
    with running("--bandwidth-bps", str(bandwidth_bps)) as (sink, relay):
        assert fastest(lambda: transfer(relay, size), expected, 0.05) == pytest.approx(expected, rel=0.05)
        assert sink.received > 0
        assert sink.received % size == 0


def test_latency_delays_both_ways() -> None:
    with running("--latency-s", "0.1", echo=True) as (_, relay), relay.connect() as connection:
        connection.sendall(b"x")
        connection.recv(1)

        def round_trip() -> float:
            begin = time.monotonic()
            connection.sendall(b"y")
            assert connection.recv(1) == b"y"
            return time.monotonic() - begin

        assert fastest(round_trip, 0.2, 0.1) == pytest.approx(0.2, rel=0.1)


def test_connections_share_the_bandwidth() -> None:
    with running("--bandwidth-bps", "2e7") as (_, relay):

        def both() -> float:
            begin = time.monotonic()
            threads = [threading.Thread(target=transfer, args=(relay, 625_000)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return time.monotonic() - begin

        assert fastest(both, 0.5, 0.1) == pytest.approx(0.5, rel=0.1)


def test_without_a_bandwidth_nothing_is_limited_and_bytes_arrive_unchanged() -> None:
    sent = bytes(range(256)) * 4096
    with running(echo=True) as (_, relay), relay.connect() as connection:
        threading.Thread(target=connection.sendall, args=(sent,)).start()
        received = b""
        while len(received) < len(sent):
            received += connection.recv(65536)
        assert received == sent


def test_a_link_that_is_down_holds_bytes_and_keeps_connections() -> None:
    with running("--bandwidth-bps", "1e7", echo=True) as (_, relay), relay.connect() as connection:
        connection.sendall(b"a")
        assert connection.recv(1) == b"a"
        assert relay.tell(bandwidth_bps=0)["bandwidth_bps"] == 0
        connection.sendall(b"b")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        relay.tell(bandwidth_bps=1e7)
        connection.settimeout(TIMEOUT_S)
        assert connection.recv(1) == b"b"


def test_bytes_under_way_feel_a_new_bandwidth() -> None:
    with running("--bandwidth-bps", "1e5") as (sink, relay):
        threading.Timer(0.2, lambda: relay.tell(bandwidth_bps=1e8)).start()
        assert transfer(relay, 1_000_000) < TIMEOUT_S, "80 s at the bandwidth that it began with"
        assert sink.received == 1_000_000


def test_a_slow_link_is_felt_by_the_sender() -> None:
    with running("--bandwidth-bps", "1e5") as (_, relay), relay.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.sendall(bytes(4_000_000))


def test_new_connections_go_to_a_new_target() -> None:
    with running() as (first, relay):
        second = Sink(echo=False)
        relay.tell(target=second.address)
        transfer(relay, 1000)
        assert (first.received, second.received) == (0, 1000)
        second.listener.close()


@pytest.mark.parametrize("line", ["{", "[]", '{"bandwidth_bps": "fast"}', '{"latency_s": null}'])
def test_a_bad_command_is_answered_with_its_error_and_changes_nothing(line: str) -> None:
    with running("--bandwidth-bps", "5e6") as (_, relay):
        assert relay.process.stdin is not None
        assert relay.process.stdout is not None
        relay.process.stdin.write(line + "\n")
        relay.process.stdin.flush()
        assert "error" in json.loads(relay.process.stdout.readline())
        assert relay.tell()["bandwidth_bps"] == 5e6


def test_a_relay_that_ends_breaks_its_connections_without_a_word() -> None:
    with contextlib.ExitStack() as connections:
        with running(echo=True) as (_, relay):
            connection = connections.enter_context(relay.connect())
            connection.sendall(b"a")
            assert connection.recv(1) == b"a"
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_an_absent_target_breaks_the_connection_not_the_relay() -> None:
    with running() as (sink, relay):
        relay.tell(target="127.0.0.1:1")
        with relay.connect() as connection, pytest.raises(OSError):
            connection.sendall(b"x")
            if connection.recv(1) == b"":
                raise ConnectionResetError
        relay.tell(target=sink.address)
        transfer(relay, 10)
        assert sink.received == 10
