"""What the registry's client keeps, and what a registry that hangs keeps others from."""

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest

from tests.support.adaptation import digest
from tests.support.patience import PATIENCE_S
from tiersplit_bundle import media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_operator.clients import registry as module
from tiersplit_operator.clients.registry import THREADS, RegistryClient

PLACE = "oci://registry.test:5000/tiersplit/digits"


class Shelf:
    """Bundles that carry one profile each, whose tier only the profile itself names; answers wait for a gate."""

    def __init__(self):
        self.gate, self.under_way, self.most, self.read = threading.Event(), 0, 0, []
        self.gate.set()
        self.lock = threading.Lock()

    def __call__(self, reference, access):
        return self

    def head(self, target):
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.gate.wait(PATIENCE_S)
        with self.lock:
            self.under_way -= 1
        return digest(target)

    def manifest(self, target):
        profile = SimpleNamespace(media_type=media.PROFILE, digest=digest(f"profile {target}"), annotations={})
        document = {"artifactType": media.ARTIFACT}
        return SimpleNamespace(document=document, layers=[profile], digest=digest(target))

    def read_blob(self, name, limit):
        self.read.append(name)
        return json.dumps({"tier": "edge"}).encode()

    def close(self):
        """Nothing is open."""


@pytest.fixture
def shelf(monkeypatch):
    made = Shelf()
    monkeypatch.setattr(module, "Registry", made)
    return made


@pytest.fixture
def client(shelf):
    made = RegistryClient(RegistryAccess(plain_http=True))
    yield made
    made.close()


def test_a_registry_that_hangs_takes_its_own_threads_and_leaves_the_loops(shelf, client):
    shelf.gate.clear()

    async def main():
        asking = [asyncio.create_task(client.artifact(f"{PLACE}:v{i}")) for i in range(5 * THREADS)]
        while shelf.under_way < THREADS:
            await asyncio.sleep(0.01)
        others = [asyncio.to_thread(sum, (i, 1)) for i in range(40)]
        assert await asyncio.wait_for(asyncio.gather(*others), PATIENCE_S) == list(range(1, 41))
        shelf.gate.set()
        return await asyncio.gather(*asking)

    found = asyncio.run(main())
    assert [record.profiles for record in found] == [{"edge": digest(f"profile v{i}")} for i in range(5 * THREADS)]
    assert shelf.most == THREADS


def test_questions_that_nobody_waits_for_any_more_are_not_asked(shelf, client):
    shelf.gate.clear()

    async def main():
        asking = [asyncio.create_task(client.artifact(f"{PLACE}:v{i}")) for i in range(5 * THREADS)]
        while shelf.under_way < THREADS:
            await asyncio.sleep(0.01)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        shelf.gate.set()
        await client.artifact(f"{PLACE}:last")

    asyncio.run(main())
    assert len(shelf.read) <= THREADS + 1


def test_which_tier_a_profile_is_of_is_remembered_for_so_many_profiles(shelf, client, monkeypatch):
    monkeypatch.setattr(module, "MAX_TIERS", 10)
    monkeypatch.setattr(module, "MAX_ARTIFACTS", 5)

    async def main():
        for i in (*range(20), 19, 0):
            await client.artifact(f"{PLACE}:v{i}")

    asyncio.run(main())
    assert shelf.read == [digest(f"profile v{i}") for i in (*range(20), 0)]
    assert len(client._tiers) == 10
    assert len(client._artifacts) == 5
