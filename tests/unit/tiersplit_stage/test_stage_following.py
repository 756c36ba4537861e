"""Where routes come from: tokens and authorities as they are at each dial, and files that are swapped."""

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from types import SimpleNamespace

import grpc
import pytest

from tests.support.patience import PATIENCE_S
from tiersplit_core.errors import InputError
from tiersplit_stage.following import Controller, RouteFile, _attend, follow
from tiersplit_stage.routing import Router
from tiersplit_wire.connection import make_server
from tiersplit_wire.v1 import route_pb2 as pb


def test_every_dial_shows_the_token_that_the_file_holds_then(tmp_path):
    token = tmp_path / "token"
    controller = Controller("host:1", token_file=token)
    for text in ("first\n", "second"):
        token.write_text(text)
        assert controller.metadata() == (("authorization", f"Bearer {text.strip()}"),)
    assert Controller("host:1").metadata() == ()


@pytest.mark.parametrize("content", [b"", b"  \n", b"two\nlines", b"\xff\xfe"])
def test_a_file_without_a_token_is_named_and_its_content_is_not_shown(tmp_path, content):
    token = tmp_path / "token"
    token.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Controller("host:1", token_file=token).metadata()
    assert str(caught.value) == "token: holds no token"


def test_a_missing_authority_is_a_failure_and_never_means_plaintext(tmp_path):
    with pytest.raises(InputError, match=r"ca\.crt: cannot be read"):
        Controller("host:1", ca_file=tmp_path / "ca.crt").dial()


class Mount:
    """A ConfigMap as the kubelet mounts it."""

    def __init__(self, folder):
        self.folder, self.path, self.versions = folder, folder / "route.binpb", 0

    def put(self, data):
        self.versions += 1
        version = self.folder / f"..v{self.versions}"
        version.mkdir()
        (version / "route.binpb").write_bytes(data)
        # The kubelet's versions may well have been written within one tick of the clock.
        os.utime(version / "route.binpb", (1e9, 1e9))
        swapped = self.folder / "..tmp"
        swapped.symlink_to(version.name)
        swapped.replace(self.folder / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/route.binpb")


@pytest.fixture
def mount(tmp_path):
    return Mount(tmp_path)


def route(epoch):
    return pb.Route(deployment="d", epoch=epoch).SerializeToString()


def test_the_files_route_is_offered_at_start_and_once_after_each_swap(mount):
    offered = []
    file = RouteFile(mount.path, lambda found: offered.append(found.epoch))
    file.look()
    assert offered == []
    for epoch in (1, 2):
        mount.put(route(epoch))
        file.look()
        file.look()
    assert offered == [1, 2]


def test_what_is_no_route_is_told_once_and_the_next_one_is_taken(mount, caplog):
    offered = []
    file = RouteFile(mount.path, lambda found: offered.append(found.epoch))
    mount.put(b"\xff garbage \xff")
    with caplog.at_level(logging.WARNING):
        file.look()
        file.look()
    assert len(caplog.records) == 1
    mount.put(route(3))
    file.look()
    assert offered == [3]


def test_a_file_that_goes_away_changes_nothing_and_is_taken_when_it_is_back(mount):
    offered = []
    file = RouteFile(mount.path, lambda found: offered.append(found.epoch))
    mount.put(route(1))
    file.look()
    mount.path.unlink()
    file.look()
    mount.put(route(2))
    file.look()
    assert offered == [1, 2]


@asynccontextmanager
async def controlled(watch):
    """A controller that does `watch` with each stream; lasts `PATIENCE_S` at most."""
    server = make_server()
    handler = grpc.stream_stream_rpc_method_handler(watch)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("tiersplit.wire.v1.Routes", {"Watch": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield Controller(f"127.0.0.1:{port}")
    finally:
        await server.stop(0)


def reporter_of(report):
    return SimpleNamespace(changed=asyncio.Event(), report=report)


def test_a_controller_that_sends_no_routes_costs_the_stream_and_not_the_stage():
    async def babble(_, context):
        await context.write(b"\xff\xff\xff")
        await context.read()

    async def attended():
        offered = []
        async with controlled(babble) as controller:
            return await _attend(controller, reporter_of(pb.StageReport), offered.append), offered

    assert asyncio.run(attended()) == ((False, "what came is no route"), [])


def test_a_route_that_came_before_the_controller_ended_the_stream_was_heard():
    async def once(_, context):
        await context.write(route(7))

    async def attended():
        offered = []
        async with controlled(once) as controller:
            return await _attend(controller, reporter_of(pb.StageReport), offered.append), offered

    (heard, reason), offered = asyncio.run(attended())
    assert (heard, reason) == (True, "the controller ended it")
    assert [found.epoch for found in offered] == [7]


def test_a_report_that_cannot_be_made_ends_the_stream_and_is_told_once_and_reports_come_again(caplog):
    failing = [ZeroDivisionError("no runs")] * 3

    def report():
        if failing:
            raise failing.pop()
        return pb.StageReport(instance="edge-1")

    async def scenario():
        came = asyncio.get_running_loop().create_future()

        async def watch(_, context):
            await context.write(route(1))
            came.set_result(pb.StageReport.FromString(await context.read()))

        async with controlled(watch) as controller:
            following = asyncio.ensure_future(follow(controller, reporter_of(report), lambda _: None))
            await asyncio.wait((came, following), return_when=asyncio.FIRST_COMPLETED)
            following.cancel()
            return await came

    with caplog.at_level(logging.INFO, "tiersplit_stage.following"):
        assert asyncio.run(scenario()).instance == "edge-1"
    told = [record for record in caplog.records if "no report can be made: ZeroDivisionError" in record.getMessage()]
    assert [bool(record.exc_info) for record in told] == [True]


def test_a_route_that_cannot_be_kept_is_told_and_ends_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    parts = [SimpleNamespace() for _ in range(3)]
    router = Router("reader", "edge", *parts, lambda: None, tmp_path / "file" / "route")
    with caplog.at_level(logging.WARNING):
        router._remember(pb.Route(deployment="reader", epoch=1))
    assert "cannot be kept" in caplog.text
