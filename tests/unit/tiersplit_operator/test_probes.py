"""The kubelet's questions are answered over IPv4 and IPv6, or over the one that there is."""

import asyncio
import socket

import aiohttp
import pytest
from prometheus_client import REGISTRY

from tests.support.oci_registry import free_port
from tiersplit_operator.probes import listening, probed, serve_metrics

HOSTS = ("127.0.0.1", "[::1]") if socket.has_dualstack_ipv6() else ("127.0.0.1",)


async def asked(port, host, path="/healthz"):
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("complaint", ["", "the queue is 400 s late"])
def test_the_kubelet_is_answered_over_each_family(host, complaint):
    async def main():
        port = free_port()
        async with probed(port, lambda: complaint):
            return await asked(port, host)

    assert asyncio.run(main()) == ((503, complaint) if complaint else (200, "alive"))


@pytest.mark.parametrize("host", HOSTS)
def test_prometheus_is_answered_over_each_family(host):
    port = free_port()
    end = serve_metrics(port)
    try:
        status, text = asyncio.run(asked(port, host, "/metrics"))
    finally:
        end()
    assert status == 200
    assert next(iter(REGISTRY.collect())).name in text


def test_without_ipv6_the_port_is_opened_for_ipv4(monkeypatch):
    create = socket.create_server

    def without(address, *, family=socket.AF_INET, **more):
        if family == socket.AF_INET6:
            raise OSError("Address family not supported by protocol")
        return create(address, family=family, **more)

    monkeypatch.setattr(socket, "create_server", without)
    with listening(0) as found:
        assert found.family == socket.AF_INET


def test_a_port_that_is_taken_is_an_error():
    with listening(0) as first, pytest.raises(OSError, match="in use"):
        listening(first.getsockname()[1])
