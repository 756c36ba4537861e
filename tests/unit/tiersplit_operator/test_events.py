"""Events: each fact once, repetitions counted."""

import asyncio

from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.clients.events import MAX_PER_RESOURCE, QUIET_S, EventRecorder
from tiersplit_operator.facts import Key, Owner

OWNER = Owner(Key("shop", "digits"), "u-1")


class Api:
    def __init__(self, down=False):
        self.events, self.down = {}, down

    async def create(self, document):
        if self.down:
            raise OperationError("no answer")
        name = document["metadata"]["name"]
        if name in self.events:
            raise ConflictError("there is one")
        self.events[name] = dict(document)
        return document

    async def get(self, kind, namespace, name):
        return self.events.get(name)

    async def merge(self, kind, namespace, name, change):
        self.events[name] |= change
        return change


def tell(api, *said, recorder=None, clock=None):
    clock = clock or [0.0]
    recorder = recorder or EventRecorder(api, "one", clock=lambda: clock[0])

    async def main():
        for reason, message in said:
            await recorder.tell(OWNER, reason, message)

    asyncio.run(main())
    return recorder


def test_the_same_is_said_once():
    api = Api()
    tell(api, ("Planned", "3 plans"), ("Planned", "3 plans"), ("Planned", "4 plans"))
    assert sorted(event["note"] for event in api.events.values()) == ["3 plans", "4 plans"]
    (event, _) = api.events.values()
    assert event["regarding"]["uid"] == "u-1"
    assert "series" not in event


def test_later_it_is_counted():
    api, clock = Api(), [0.0]
    recorder = tell(api, ("Fallback", "blind"), clock=clock)
    for _ in range(2):
        clock[0] += QUIET_S + 1
        tell(api, ("Fallback", "blind"), recorder=recorder)
    (event,) = api.events.values()
    assert event["series"]["count"] == 3


def test_an_operator_that_started_again_counts_on():
    api = Api()
    tell(api, ("Planned", "3 plans"))
    tell(api, ("Planned", "3 plans"))
    (event,) = api.events.values()
    assert event["series"]["count"] == 2


def test_a_resource_whose_facts_never_repeat_fills_no_etcd():
    api, clock = Api(), [0.0]
    many = [("Moved", f"plan {i}") for i in range(2 * MAX_PER_RESOURCE)]
    recorder = tell(api, *many, clock=clock)
    assert len(api.events) == MAX_PER_RESOURCE
    clock[0] += QUIET_S
    tell(api, ("Moved", "again"), recorder=recorder)
    assert len(api.events) == MAX_PER_RESOURCE + 1


def test_an_event_that_is_lost_ends_nothing():
    tell(Api(down=True), ("Planned", "3 plans"))
