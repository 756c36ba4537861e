"""How connections are made: the same bounds and keepalive on both sides."""

from collections.abc import Sequence

import grpc
import grpc.aio

from tiersplit_core.errors import OperationError

MAX_MESSAGE_BYTES = 256 << 20
"""Largest message that is sent or accepted."""

MAX_CALLS = 1 << 14
"""Calls that a server answers at the same time; the others are refused with RESOURCE_EXHAUSTED."""

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


CONTROL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    # A controller that vanished with its machine must be noticed long before the next one leads.
    *(pair for pair in CHANNEL_OPTIONS if not pair[0].startswith("grpc.keepalive_t")),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
"""For streams of small messages to a controller."""

_EVERYWHERE, _EVERYWHERE_IPV4 = "[::]", "0.0.0.0"  # noqa: S104 - stages are reached from other machines


def open_channel(
    address: str,
    credentials: grpc.ChannelCredentials | None = None,
    name: str = "",
    options: Sequence[tuple[str, int | str]] = CHANNEL_OPTIONS,
) -> grpc.aio.Channel:
    """A channel with the project's bounds.

    Args:
        address: HOST:PORT.
        credentials: for TLS; None: plaintext.
        name: what the server's certificate must be made out to; empty: the host of `address`.
        options: of the channel.
    """
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=(*options, *named(name)))


def trusting(authorities: bytes | None) -> grpc.ChannelCredentials:
    """Credentials of a client that shows no certificate.

    Args:
        authorities: certificates that servers must descend from, PEM; None trusts whom the machine trusts.
    """
    return grpc.ssl_channel_credentials(authorities)


def named(name: str) -> tuple[tuple[str, str], ...]:
    """The channel option that asks for a certificate made out to `name` instead of the address; none for no name."""
    return (("grpc.ssl_target_name_override", name),) if name else ()


def make_server(connection_age_s: float = 0.0, max_calls: int = MAX_CALLS) -> grpc.aio.Server:
    """A server with the project's bounds.

    Args:
        connection_age_s: clients are asked to connect again after about so long, without a call being lost: they find
            new servers, and leave one that stops before it does; 0: never.
        max_calls: that are answered at the same time; streams count for as long as they last.
    """
    age = (("grpc.max_connection_age_ms", round(connection_age_s * 1000)),) if connection_age_s else ()
    return grpc.aio.server(options=(*SERVER_OPTIONS, *age), maximum_concurrent_rpcs=max_calls)


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None) -> str:
    """Open `HOST:PORT` (port 0 picks one); returns the address. `[::]` means IPv4 too, and alone where IPv6 is absent.

    Raises:
        OperationError: the address cannot be opened.
    """
    host, _, port = address.rpartition(":")
    for candidate in hosts_for(host):
        try:
            return f"{candidate}:{_add_port(server, f'{candidate}:{port}', credentials)}"
        except RuntimeError as error:
            reason = str(error)
    raise OperationError(f"{address} cannot be opened: {reason}")


def hosts_for(host: str) -> tuple[str, ...]:
    """Where to listen for `host`, the next one where the one before cannot be opened."""
    return (host, _EVERYWHERE_IPV4) if host == _EVERYWHERE else (host,)


def _add_port(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    if credentials is None:
        return int(server.add_insecure_port(address))
    return int(server.add_secure_port(address, credentials))
