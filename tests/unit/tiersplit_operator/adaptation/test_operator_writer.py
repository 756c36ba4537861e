"""Writing routes: fences, epochs, and what does not fit."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.adaptation import OWNER, Api, reference
from tests.support.adaptation import settings as operator_settings
from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.adaptation.writer import MAX_ROUTE_BYTES, RouteWriter
from tiersplit_wire.v1 import route_pb2 as pb


def test_epochs_only_grow_whatever_is_deleted_and_a_route_that_does_not_fit_is_refused():
    async def main():
        api, route = Api(), pb.Route(deployment="net", bundle=reference("a"))
        writer = RouteWriter(api, operator_settings(), OWNER, None, wall=lambda: 1000.0)
        await writer.write(route, "")
        assert route.epoch == 1_000_000
        api.kept.clear()
        await writer.write(route, "")
        later = RouteWriter(api, operator_settings(), OWNER, None, wall=lambda: 2000.0)
        api.kept.clear()
        await later.write(route, "")
        assert route.epoch == 2_000_000
        api.touch(somebody="was here")
        await later.write(route, "")
        assert api.route().epoch == 2_000_001
        route.model.name = "x" * MAX_ROUTE_BYTES
        with pytest.raises(OperationError, match="more than the"):
            await later.write(route, "")

    asyncio.run(main())


def test_a_route_that_changes_all_the_time_is_given_up():
    async def main():
        api = Api()
        writer = RouteWriter(api, operator_settings(), OWNER, None)
        await writer.write(pb.Route(deployment="net"), "")

        async def busy(_document):
            raise ConflictError("it changed")

        api.replace_config_map = busy
        with pytest.raises(OperationError, match="changes faster"):
            await writer.write(pb.Route(deployment="net"), "")

    asyncio.run(main())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["write", "delete", "touch", "restart"]), max_size=12))
def test_no_pod_ever_sees_an_older_epoch(steps):
    async def main():
        api, wall = Api(), iter(range(1, 10**6))
        writer, seen = RouteWriter(api, operator_settings(), OWNER, None, wall=lambda: next(wall)), 0
        for step in ["write", *steps, "write"]:
            if step == "delete":
                api.kept.clear()
            elif step == "touch" and api.kept:
                api.touch(somebody="was here")
            elif step == "restart":
                writer = RouteWriter(api, operator_settings(), OWNER, api.record(), wall=lambda: next(wall))
            elif step == "write":
                await writer.write(pb.Route(deployment="net"), "")
                assert api.route().epoch > seen
                seen = api.route().epoch

    asyncio.run(main())
