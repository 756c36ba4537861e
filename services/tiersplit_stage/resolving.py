"""The addresses behind the names that a route gives: looked up again and again, and kept while nobody answers."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

_TIMEOUT_S = 2.0
_PERIOD_S = 1.0

Lookup = Callable[[str, int], Awaitable[Iterable[str]]]
"""The addresses of a host; OSError where they cannot be had."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where one stage is reached.

    Attributes:
        address: HOST:PORT to connect to.
        name: DNS name that its certificate is made out to; empty: the address's own host.
    """

    address: str
    name: str = ""


async def look_up(host: str, port: int) -> set[str]:
    """What the system's resolver knows; raises OSError where it fails."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return {str(entry[4][0]) for entry in found}


class Resolver:
    """Keeps the endpoints of a route's addresses.

    Args:
        found: awaited with all endpoints whenever they were looked up.
        lookup: the addresses of a host.
        period_s: between two looks.
        timeout_s: of a look.
    """

    def __init__(
        self,
        found: Callable[[frozenset[Endpoint]], Awaitable[None]],
        lookup: Lookup = look_up,
        period_s: float = _PERIOD_S,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._found, self._lookup = found, lookup
        self._period_s, self._timeout_s = period_s, timeout_s
        self._known: dict[str, frozenset[Endpoint]] = {}
        self._pending: dict[str, asyncio.Future[frozenset[Endpoint]]] = {}
        self._again = asyncio.Event()

    async def point(self, addresses: Iterable[str]) -> None:
        """Use these addresses (HOST:PORT) from now on; those that need no look-up at once."""
        self._known = {address: self._known.get(address, _literal(address)) for address in addresses}
        await self._tell()
        self.look_again()

    def look_again(self) -> None:
        """Something was lost: look before the period is over."""
        self._again.set()

    async def run(self) -> None:
        """Look names up, for ever."""
        while True:
            self._again.clear()
            names = [address for address in self._known if not _literal(address)]
            if names:
                await asyncio.gather(*(self._look(address) for address in names))
                await self._tell()
            try:
                await asyncio.wait_for(self._again.wait(), self._period_s if names else None)
            except TimeoutError:
                continue

    async def _look(self, address: str) -> None:
        """One look at one name; a look that hangs is waited for, so that there is never more than one of it."""
        pending = self._pending.get(address)
        if pending is None:
            pending = self._pending[address] = asyncio.ensure_future(self._resolved(address))
        done, _ = await asyncio.wait([pending], timeout=self._timeout_s)
        if not done:
            return
        del self._pending[address]
        found = frozenset[Endpoint]() if pending.exception() else pending.result()
        if found and address in self._known:
            self._known[address] = found

    async def _resolved(self, address: str) -> frozenset[Endpoint]:
        host, port = split(address)
        found = await self._lookup(host, port)
        return frozenset(Endpoint(join(address, port), host.rstrip(".")) for address in found)

    async def _tell(self) -> None:
        await self._found(frozenset[Endpoint]().union(*self._known.values()))


def split(address: str) -> tuple[str, int]:
    """Host (without brackets) and port of HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def join(host: str, port: int) -> str:
    """HOST:PORT, with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _literal(address: str) -> frozenset[Endpoint]:
    """The endpoint of an address that needs no look-up; none where it is a name."""
    try:
        ipaddress.ip_address(split(address)[0])
    except ValueError:
        return frozenset()
    return frozenset({Endpoint(address)})
