"""Resources under adaptation without processes: bundles, an API that keeps ConfigMaps, a clock, and what stages say."""

import asyncio
import json
from datetime import UTC, datetime
from types import SimpleNamespace

from tests.support.control_catalogue import catalogue, graph
from tests.support.operator_context import settings
from tiersplit_api.v1alpha1 import resource_from
from tiersplit_bundle import Accuracies, media
from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_core.planning.surface_json import surface_to_json
from tiersplit_core.profile.json import profile_to_json
from tiersplit_operator.adaptation.fleet import Fleet
from tiersplit_operator.adaptation.member import Member
from tiersplit_operator.adaptation.serving import Served, plain_route, wanted_by
from tiersplit_operator.facts import ArtifactRecord, Key, Owner, Target
from tiersplit_operator.projection import route_of
from tiersplit_operator.resources.names import route_name
from tiersplit_wire.v1 import route_pb2 as pb

TIERS = ("edge", "mdc", "cloud")
KEY = Key("shop", "net")
OWNER = Owner(KEY, "u-1")
WALL = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESSES = {"mdc": "net-mdc:9000", "cloud": "net-cloud:9000"}
PLACES = (("edge", "mdc"), ("mdc", "cloud"))


def digest(text):
    return "sha256:" + text.encode().hex().ljust(64, "0")[:64]


def reference(name):
    return f"oci://registry.test:5000/tiersplit/models@{digest(name)}"


def resource(annotations=(), adaptation=(), name="net", rollout="Surge", telemetry=None):
    """A SplitDeployment over three tiers."""
    spec = {
        "model": {"source": {"onnxUri": "pvc://models/digits.onnx"}},
        "tiers": [{"name": tier, "rollout": rollout} for tier in TIERS],
        "links": [
            {"from": "edge", "to": "mdc", "bandwidth": "10M"},
            {"from": "mdc", "to": "cloud", "bandwidth": "100M"},
        ],
        "adaptation": {"pollingPeriodSeconds": 1, "cooldownPeriodSeconds": 10, **dict(adaptation)},
    }
    if telemetry is not None:
        spec["telemetry"] = telemetry
    about = {"name": name, "namespace": "shop", "uid": "u-1", "generation": 1, "annotations": dict(annotations)}
    return resource_from(
        {"apiVersion": "tiersplit.dev/v1alpha1", "kind": "SplitDeployment", "metadata": about, "spec": spec}
    )


class FakeBundle:
    """The catalogue's network as a bundle; `weights` tells one training of it from another."""

    def __init__(self, weights="a"):
        self.graph, self.graph_digest, self.weights = graph(), "g", weights
        tensors = {"input": "x"} | {layer.name: layer.tensors[0].name for layer in self.graph.layers}
        self.segments = [
            SimpleNamespace(
                id=spec.id,
                digest=digest(f"{weights}{i}"),
                weights=(digest(weights),),
                inputs=tuple(tensors[name] for name in spec.inputs),
                outputs=tuple(tensors[name] for name in spec.outputs),
            )
            for i, spec in enumerate(catalogue().specs)
        ]
        documents = [profile_to_json(profile) for profile in catalogue().profiles.values()]
        self._blobs = {digest(f"profile-{i}"): document for i, document in enumerate(documents)}
        self.layers = [SimpleNamespace(media_type=media.PROFILE, digest=name) for name in self._blobs]
        self.layers.append(SimpleNamespace(media_type=media.GOLDEN, digest=digest(f"golden-{weights}")))
        self.accuracies = Accuracies("Top1", 0.98)

    def read(self, name):
        return json.dumps(self._blobs[name]).encode()

    def read_json(self, media_type):
        assert media_type == media.SURFACE
        return surface_to_json(catalogue().surface)


class Bundles:
    """A registry of bundles by the first letters of their references' digests."""

    def __init__(self):
        self.read, self.down = [], False

    async def bundle(self, wanted):
        if self.down:
            raise OperationError("the registry does not answer")
        self.read.append(wanted)
        await asyncio.sleep(0)
        hexed = wanted.rpartition(":")[2].rstrip("0")
        return FakeBundle(bytes.fromhex(hexed + "0" * (len(hexed) % 2)).decode())


class Api:
    """ConfigMaps, with the API server's rules about versions."""

    def __init__(self):
        self.kept, self.version, self.down, self.writes = {}, 0, "", 0
        self.gate = None

    async def get(self, kind, namespace, name):
        self._check()
        return self.kept.get((namespace, name))

    async def create(self, document):
        await self._wait()
        if self._name(document) in self.kept:
            raise ConflictError("it exists")
        return self._keep(document)

    async def replace_config_map(self, document):
        await self._wait()
        present = self.kept.get(self._name(document))
        if present is None:
            raise OperationError("there is no such object")
        if present["metadata"]["resourceVersion"] != document["metadata"]["resourceVersion"]:
            raise ConflictError("it changed")
        return self._keep(document)

    def touch(self, key=KEY, **annotations):
        """Somebody else writes annotations."""
        name = (key.namespace, route_name(key.name))
        present = self.kept[name]
        about = present["metadata"]
        self._keep(present | {"metadata": about | {"annotations": about["annotations"] | annotations}})

    def record(self, key=KEY):
        """The route as a watch shows it."""
        found = self.kept.get((key.namespace, route_name(key.name)))
        return None if found is None else route_of(found)

    def route(self, key=KEY):
        return pb.Route.FromString(self.record(key).payload)

    async def _wait(self):
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        self._check()

    def _check(self):
        if self.down:
            raise OperationError(self.down)

    def _keep(self, document):
        self.version, self.writes = self.version + 1, self.writes + 1
        about = document["metadata"] | {"resourceVersion": str(self.version), "uid": "r-1"}
        made = self.kept[self._name(document)] = document | {"metadata": about}
        return made

    @staticmethod
    def _name(document):
        return document["metadata"]["namespace"], document["metadata"]["name"]


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


def target(weights="a", wanted=None, owner=OWNER):
    made = wanted or resource(name=owner.key.name)
    artifact = ArtifactRecord("registry.test:5000/tiersplit/models", digest(weights))
    return Target(owner, made, 1, artifact, ADDRESSES)


def fleet(api, bundles=None, clock=None, **more):
    """A fleet, and the lists of what it told: keys that changed, moves."""
    changed, moves = [], []
    made = Fleet(
        settings(),
        api,
        bundles or Bundles(),
        changed.append,
        moved=lambda key, move: moves.append((key, move)),
        clock=clock or Clock(),
        **more,
    )
    return made, changed, moves


def member(wanted=None, weights="a", now=1000.0):
    """A member that has looked at nothing yet."""
    served = Served(wanted_by(wanted or resource()), catalogue())
    made = plain_route(served, FakeBundle(weights), reference(weights), ADDRESSES)
    return Member(OWNER, served, made, now)


def link(place, bandwidth_bps, latency_s=0.001, down=False):
    return pb.LinkView(source=place[0], target=place[1], bandwidth_bps=bandwidth_bps, latency_s=latency_s, down=down)


def head(selectable=(), active="", *, instance="head-1", epoch=2**60, **more):
    """What a head reports."""
    return pb.StageReport(
        deployment="net",
        tier="edge",
        instance=instance,
        epoch=epoch,
        selectable=sorted(selectable),
        active=active,
        **more,
    )


def plans():
    """Digests of the plans of the catalogue, by how far they reach."""
    return sorted(catalogue().plans, key=lambda name: (catalogue().reach[name], name))
