"""`python -m tiersplit_local.relay`: an emulated link in a process of its own.

It forwards TCP connections with a token bucket and a delay in both directions. It is steered through its standard
input, one JSON object a line, and answers each on its standard output; the end of the input is its end.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import sys
from collections import deque
from typing import Any

from tiersplit_local.shaping import Medium, Shape

BUFFER_BYTES = 64 * 1024
MAX_LINE_BYTES = 4096
MIN_IN_FLIGHT_BYTES = 256 * 1024
MAX_IN_FLIGHT_BYTES = 64 * 2**20
CONNECT_TIMEOUT_S = 5.0


class Pipe:
    """One direction of one connection: read, shape, delay, write."""

    def __init__(self, medium: Medium, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._medium, self._reader, self._writer = medium, reader, writer
        self._arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=2)
        self._flying: deque[tuple[float, bytes]] = deque()
        self._flying_bytes = 0
        self._landed = asyncio.Condition()

    async def run(self) -> None:
        """Forward until the end of the stream, then pass the end on."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._shape())
            tasks.create_task(self._deliver())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await self._reader.read(self._medium.shape.chunk_bytes):
            await self._arrived.put((loop.time(), data))
        await self._arrived.put((loop.time(), b""))

    async def _shape(self) -> None:
        while True:
            arrived_at, data = await self._arrived.get()
            left_at = await self._medium.pass_bytes(len(data), arrived_at)
            async with self._landed:
                await self._landed.wait_for(lambda: self._flying_bytes < self._in_flight_limit())
                self._flying.append((left_at + self._medium.shape.latency_s, data))
                self._flying_bytes += len(data)
                self._landed.notify_all()
            if not data:
                return

    def _in_flight_limit(self) -> float:
        shape = self._medium.shape
        if shape.bandwidth_bps is None:
            return MAX_IN_FLIGHT_BYTES if shape.latency_s else MIN_IN_FLIGHT_BYTES
        # A link holds what its bandwidth carries in its latency; a slow receiver must be felt beyond that.
        return min(max(shape.bandwidth_bps * shape.latency_s / 8, MIN_IN_FLIGHT_BYTES), MAX_IN_FLIGHT_BYTES)

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._landed:
                await self._landed.wait_for(lambda: len(self._flying) > 0)
                due, data = self._flying.popleft()
            if (wait_s := due - loop.time()) > 5e-4:
                await asyncio.sleep(wait_s)
            await self._medium.until_up()
            if not data:
                break
            self._writer.write(data)
            await self._writer.drain()
            async with self._landed:
                self._flying_bytes -= len(data)
                self._landed.notify_all()
        with contextlib.suppress(OSError):
            self._writer.write_eof()


class Relay:
    """A link: a listener, the two directions and the connections over it."""

    def __init__(self, shape: Shape, target: str) -> None:
        clock = asyncio.get_running_loop().time
        self.target = target
        self.there, self.back = Medium(shape, clock), Medium(shape, clock)
        self.connections = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            await self._forward(reader, writer)
        except (OSError, ExceptionGroup, TimeoutError, asyncio.CancelledError):
            # Either end broke off, or the relay ends: the other one sees a broken connection too.
            writer.transport.abort()
        finally:
            self.connections -= 1
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.there.until_up()
        host, _, port = self.target.rpartition(":")
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            out_reader, out_writer = await asyncio.open_connection(host, int(port), limit=BUFFER_BYTES)
        for end in (writer, out_writer):
            _small_buffers(end)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(Pipe(self.there, reader, out_writer).run())
                tasks.create_task(Pipe(self.back, out_reader, writer).run())
        except BaseException:
            out_writer.transport.abort()
            raise
        finally:
            out_writer.close()

    def command(self, value: dict[str, Any]) -> dict[str, Any]:
        """Carry out one line of the control connection: any of `bandwidth_bps`, `latency_s`, `target`."""
        shape = self.there.shape
        if "bandwidth_bps" in value or "latency_s" in value:
            bandwidth = value.get("bandwidth_bps", shape.bandwidth_bps)
            shape = Shape(
                None if bandwidth is None else max(float(bandwidth), 0.0),
                float(value.get("latency_s", shape.latency_s)),
            )
            self.there.reshape(shape)
            self.back.reshape(shape)
        self.target = str(value.get("target", self.target))
        return {
            "bandwidth_bps": shape.bandwidth_bps,
            "latency_s": shape.latency_s,
            "target": self.target,
            "passed_bytes": [self.there.passed_bytes, self.back.passed_bytes],
            "connections": self.connections,
        }


def _small_buffers(writer: asyncio.StreamWriter) -> None:
    """A sender must feel the link, not the kernel's megabytes of buffers."""
    writer.transport.set_write_buffer_limits(high=BUFFER_BYTES)
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _listener(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    listener = socket.socket()
    # A relay that is started again takes its predecessor's place at once.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Set before listening, so that accepted connections start with a small window.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    listener.bind((host, int(port)))
    return listener


async def serve(listen: str, target: str, shape: Shape) -> None:
    """Run the relay until its standard input ends."""
    relay = Relay(shape, target)
    listener = _listener(listen)
    server = await asyncio.start_server(relay.accept, sock=listener, limit=BUFFER_BYTES)
    host, port = listener.getsockname()[:2]
    _answer({"address": f"{host}:{port}"})
    commands = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    try:
        while line := await commands.readline():
            _answer(_carry_out(relay, line))
    finally:
        server.close()


def _carry_out(relay: Relay, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
        return relay.command(value) if isinstance(value, dict) else {"error": "a command is a JSON object"}
    except (ValueError, TypeError) as error:
        return {"error": str(error)}


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tiersplit_local.relay")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--target", required=True)
    parser.add_argument("--bandwidth-bps", type=float, default=None)
    parser.add_argument("--latency-s", type=float, default=0.0)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.listen, given.target, Shape(given.bandwidth_bps, given.latency_s)))


if __name__ == "__main__":
    main()
