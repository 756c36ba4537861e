"""How connections are made: the same bounds and keepalive on both sides."""

import grpc
import grpc.aio

MAX_MESSAGE_BYTES = 256 << 20
"""Largest message that is sent or accepted."""

_READ_AHEAD_BYTES = 16 << 20

_COMMON = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 << 10),
    # A window below bandwidth times latency would make a transmission wait for the link's latency several times over.
    ("grpc.http2.lookahead_bytes", _READ_AHEAD_BYTES),
    # The window is large from the start; probing for a better one only costs pings between activations.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.max_frame_size", (1 << 24) - 1),
    # Pings more often than the other side allows end a connection: both sides are set.
    ("grpc.keepalive_time_ms", 15_000),
    # On a slow link a ping waits behind megabytes; streams notice a link that does not move by themselves, and sooner.
    ("grpc.keepalive_timeout_ms", 60_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_COMMON,
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Two links to one address must not share a connection, or one would wait for the other.
    ("grpc.use_local_subchannel_pool", 1),
)

SERVER_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_COMMON,
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),
)


def open_channel(address: str) -> grpc.aio.Channel:
    """A channel to `HOST:PORT` with the project's bounds."""
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


def make_server() -> grpc.aio.Server:
    """A server with the project's bounds."""
    return grpc.aio.server(options=SERVER_OPTIONS)
