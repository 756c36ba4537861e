"""Certificates in a directory: what is taken, what is not, and what peers see of it."""

import asyncio
import contextlib
import logging
import os
import time

import grpc
import grpc.aio
import pytest

from tests.support.certificates import Authority, Pair, write_secret
from tests.support.patience import PATIENCE_S
from tiersplit_core.errors import InputError
from tiersplit_wire.connection import bind, make_server, open_channel, trusting
from tiersplit_wire.tls import TlsDirectory, parse_certificates

NAME = "plate-reader-cloud.default.svc"
AUTHORITY, FOREIGN = Authority("ours"), Authority("theirs")


@pytest.fixture
def folder(tmp_path):
    return write_secret(tmp_path / "tls", AUTHORITY.issue(NAME), AUTHORITY.pem)


def watched(folder, **more):
    return TlsDirectory(folder, look_s=0.0, **more)


async def _echo(data, _):
    return data


async def _wait(data, _):
    await asyncio.sleep(0.3)
    return data


@contextlib.asynccontextmanager
async def serving(credentials):
    server = make_server()
    methods = {name: grpc.unary_unary_rpc_method_handler(work) for name, work in (("Echo", _echo), ("Wait", _wait))}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", methods),))
    address = bind(server, "127.0.0.1:0", credentials)
    await server.start()
    try:
        yield address
    finally:
        await server.stop(0)


async def ask(address, credentials, name=NAME):
    async with open_channel(address, credentials, name) as channel:
        return await channel.unary_unary("/t.T/Echo")(b"x", timeout=PATIENCE_S)


async def refused(address, credentials, name=NAME):
    with pytest.raises(grpc.RpcError) as caught:
        await ask(address, credentials, name)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def client_of(authority, trusted=AUTHORITY):
    pair = authority.issue("client")
    return grpc.ssl_channel_credentials(trusted.pem, pair.key, pair.chain)


def test_mutual_tls_serves_the_own_authoritys_clients_and_refuses_all_others(folder):
    async def scenario():
        directory = watched(folder)
        async with serving(directory.server_credentials(mutual=True)) as address:
            assert await ask(address, directory.channel_credentials()) == b"x"
            await refused(address, None)
            await refused(address, trusting(AUTHORITY.pem))
            await refused(address, client_of(FOREIGN))
            await refused(address, client_of(AUTHORITY, trusted=FOREIGN))
            await refused(address, directory.channel_credentials(), name="somebody-else.default.svc")

    asyncio.run(scenario())


def test_without_mutual_tls_a_client_needs_to_trust_the_authority_alone(folder):
    async def scenario():
        async with serving(watched(folder).server_credentials(mutual=False)) as address:
            assert await ask(address, trusting(AUTHORITY.pem)) == b"x"
            await refused(address, trusting(FOREIGN.pem))
            await refused(address, None)

    asyncio.run(scenario())


def test_a_certificate_made_out_to_an_address_serves_clients_that_know_no_name(tmp_path):
    async def scenario():
        directory = watched(write_secret(tmp_path / "tls", AUTHORITY.issue("127.0.0.1"), AUTHORITY.pem))
        async with serving(directory.server_credentials(mutual=True)) as address:
            assert await ask(address, directory.channel_credentials(), name="") == b"x"

    asyncio.run(scenario())


def test_a_rotation_to_another_authority_reaches_new_connections_and_leaves_those_that_stand(folder):
    async def scenario():
        directory = watched(folder)
        old = directory.channel_credentials()
        async with (
            serving(directory.server_credentials(mutual=True)) as address,
            open_channel(address, old, NAME) as channel,
        ):
            assert await channel.unary_unary("/t.T/Echo")(b"before") == b"before"
            running = channel.unary_unary("/t.T/Wait")(b"meanwhile")
            write_secret(folder, FOREIGN.issue(NAME), FOREIGN.pem)
            assert await ask(address, directory.channel_credentials()) == b"x"
            await refused(address, old)
            assert await running == b"meanwhile"
            assert await channel.unary_unary("/t.T/Echo")(b"after") == b"after"

    asyncio.run(scenario())


MISTAKES = {
    "another key": lambda good: (Pair(good.chain, AUTHORITY.issue(NAME).key), AUTHORITY.pem, "tls.key"),
    "half a certificate": lambda good: (Pair(good.chain[: len(good.chain) // 2], good.key), AUTHORITY.pem, "tls.crt"),
    "half a key": lambda good: (Pair(good.chain, good.key[: len(good.key) // 2]), AUTHORITY.pem, "tls.key"),
    "an empty certificate": lambda good: (Pair(b"", good.key), AUTHORITY.pem, "tls.crt"),
    "a foreign kind of authority": lambda good: (good, b"authority", "ca.crt"),
    "an expired certificate": lambda _: (AUTHORITY.issue(NAME, days=-1), AUTHORITY.pem, "tls.crt"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_files_that_are_no_good_leave_the_last_good_ones_and_are_told_once(folder, mistake, caplog):
    directory = watched(folder)
    good = directory.certificates
    pair, authorities, culprit = MISTAKES[mistake](AUTHORITY.issue(NAME))
    write_secret(folder, pair, authorities)
    with caplog.at_level(logging.WARNING):
        assert [directory.certificates for _ in range(3)] == [good] * 3
    assert [culprit in record.getMessage() for record in caplog.records] == [True]
    assert pair.key.decode() not in caplog.text
    write_secret(folder, AUTHORITY.issue(NAME), AUTHORITY.pem)
    assert directory.certificates != good


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_start_without_good_files_names_the_file(tmp_path, mistake):
    pair, authorities, culprit = MISTAKES[mistake](AUTHORITY.issue(NAME))
    with pytest.raises(InputError) as caught:
        TlsDirectory(write_secret(tmp_path / "tls", pair, authorities))
    assert caught.value.path == culprit
    assert "PRIVATE" not in str(caught.value)


def test_a_missing_file_is_named_and_missing_authorities_forbid_mutual_tls_alone(tmp_path):
    with pytest.raises(InputError, match=r"tls\.crt: cannot be read"):
        TlsDirectory(tmp_path)
    pair = AUTHORITY.issue(NAME)
    (tmp_path / "tls.crt").write_bytes(pair.chain)
    (tmp_path / "tls.key").write_bytes(pair.key)
    directory = TlsDirectory(tmp_path)
    assert directory.server_credentials(mutual=False) is not None
    with pytest.raises(InputError, match=r"ca\.crt"):
        directory.server_credentials(mutual=True)


def test_authorities_that_vanish_do_not_make_everybody_trusted(folder, caplog):
    directory = watched(folder)
    good = directory.certificates
    write_secret(folder, AUTHORITY.issue(NAME), AUTHORITY.pem)
    (folder / "..data" / "ca.crt").unlink()
    with caplog.at_level(logging.WARNING):
        assert directory.certificates == good
    assert "ca.crt: is gone" in caplog.text


def test_files_without_links_are_noticed_when_they_are_written_over(tmp_path):
    for name, data in zip(("tls.crt", "tls.key"), vars(AUTHORITY.issue(NAME)).values(), strict=True):
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (1e9, 1e9))  # what is written over within one tick of the clock is not noticed
    directory = watched(tmp_path)
    good, renewed = directory.certificates, AUTHORITY.issue(NAME)
    (tmp_path / "tls.crt").write_bytes(renewed.chain)
    assert directory.certificates == good  # the key has not come yet
    (tmp_path / "tls.key").write_bytes(renewed.key)
    assert directory.certificates.chain == renewed.chain


def test_seconds_until_expiry_count_down_past_zero(folder):
    now = [time.time()]
    directory = TlsDirectory(folder, clock=lambda: now[0])
    assert directory.expires_in_s() == pytest.approx(10 * 86400, rel=0.01)
    now[0] = directory.certificates.expires_at + 60
    assert directory.expires_in_s() == -60


def test_keys_are_never_shown(folder):
    found = watched(folder).certificates
    assert b"PRIVATE" in found.key
    assert "PRIVATE" not in repr(found)
    assert parse_certificates(found.chain, found.key, b"").authorities == b""
