"""The elector, against a Lease in memory and a clock that the test moves."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.support.patience import PATIENCE_S
from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.leader import Elector, LostLeadershipError, Timing, kept
from tiersplit_operator.settings import LeaseSettings

TIMING = Timing()


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Api:
    """One Lease, with the API server's rules about versions."""

    def __init__(self):
        self.lease, self.version, self.down = None, 0, False

    async def get_lease(self, namespace, name):
        if self.down:
            raise OperationError("no answer")
        return self.lease

    async def create_lease(self, document):
        if self.lease is not None:
            raise ConflictError("there is one")
        self._store(document)

    async def replace_lease(self, document):
        if self.down:
            raise OperationError("no answer")
        if document["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError("changed")
        self._store(document)

    def _store(self, document):
        self.version += 1
        self.lease = {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.version)}}

    @property
    def holder(self):
        return self.lease["spec"]["holderIdentity"]


def elector(api, clock, name, steps=1000, timing=TIMING):
    """An elector whose sleeps move the clock; after `steps` of them it is stopped."""
    left = [steps]

    async def sleep(seconds):
        clock.now += seconds
        left[0] -= 1
        if left[0] < 0:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    lease = replace(LeaseSettings(), identity=name)
    return Elector(lease, api, timing, clock=clock, wall=lambda: datetime(2026, 1, 1, tzinfo=UTC), sleep=sleep)


def run(coroutine):
    return asyncio.run(coroutine)


def test_the_first_one_leads_at_once():
    api, clock = Api(), Clock()
    one = elector(api, clock, "one")
    run(one.acquire())
    assert (one.leads, api.holder, clock.now) == (True, "one", 0.0)


def test_a_lease_that_stands_still_is_taken_over_after_its_duration_and_no_sooner():
    api, clock = Api(), Clock()
    run(elector(api, clock, "one").acquire())
    began = clock.now
    run(elector(api, clock, "two").acquire())
    assert api.holder == "two"
    assert 15.0 <= clock.now - began <= 18.0
    assert api.lease["spec"]["leaseTransitions"] == 1


def test_a_lease_that_is_renewed_is_never_taken():
    async def main():
        api, clock = Api(), Clock()
        one = elector(api, clock, "one")
        await one.acquire()
        keeping = asyncio.create_task(one.keep())
        two = elector(api, clock, "two", steps=200)
        with pytest.raises(asyncio.CancelledError):
            await two.acquire()
        keeping.cancel()
        return api.holder, two.leads

    assert run(main()) == ("one", False)


def test_a_leader_that_cannot_renew_ends_before_another_may_begin():
    api, clock = Api(), Clock()
    one = elector(api, clock, "one")
    run(one.acquire())
    api.down = True
    with pytest.raises(LostLeadershipError, match="could not be renewed for 10 s"):
        run(one.keep())
    assert clock.now < 15.0
    assert not one.leads


def test_a_short_silence_of_the_api_server_costs_nothing():
    async def main():
        api, clock = Api(), Clock()
        one = elector(api, clock, "one", steps=30)
        await one.acquire()
        keeping = asyncio.create_task(one.keep())
        while clock.now < 6:
            api.down = True
            await asyncio.sleep(0)
        api.down = False
        await asyncio.wait([keeping])
        return keeping.cancelled(), api.holder, clock.now

    assert run(main()) == (True, "one", 62.0)


def test_a_leader_whose_lease_was_taken_ends():
    api, clock = Api(), Clock()
    one = elector(api, clock, "one")
    run(one.acquire())
    api._store({**api.lease, "spec": {**api.lease["spec"], "holderIdentity": "two"}})
    with pytest.raises(LostLeadershipError, match="two has the Lease"):
        run(one.keep())


def test_a_lease_that_was_given_back_is_taken_at_once():
    api, clock = Api(), Clock()
    one, two = elector(api, clock, "one"), elector(api, clock, "two")
    run(one.acquire())
    run(one.release())
    assert api.holder == ""
    began = clock.now
    run(two.acquire())
    assert clock.now == began


def test_only_the_holder_gives_the_lease_back():
    api, clock = Api(), Clock()
    run(elector(api, clock, "one").acquire())
    run(elector(api, clock, "two").release())
    assert api.holder == "one"


def test_of_two_that_reach_for_a_free_lease_one_gets_it():
    async def main():
        api, clock = Api(), Clock()
        both = [elector(api, clock, name, steps=3) for name in ("one", "two")]
        await asyncio.gather(*(one.acquire() for one in both), return_exceptions=True)
        return [one.leads for one in both], api.holder

    leads, holder = run(main())
    assert sorted(leads) == [False, True]
    assert holder == ("one" if leads[0] else "two")


def test_a_process_that_lost_the_lease_and_goes_on_is_ended_before_another_one_may_lead():
    api, clock, ended = Api(), Clock(), asyncio.Event()
    one = elector(api, clock, "one", timing=Timing(lease_s=0.02, renew_s=0.01, retry_s=0.005))

    async def main():
        await one.acquire()
        api.down = True
        with pytest.raises(LostLeadershipError):
            await kept(one, ended.set)
        assert not ended.is_set()
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()

    run(main())
