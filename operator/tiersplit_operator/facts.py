"""All that one reconcile knows: frozen, gathered before anything is decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from tiersplit_api.v1alpha1.types import GROUP, KIND, VERSION, SplitDeployment

Document = Mapping[str, Any]
"""A Kubernetes object as parsed JSON."""


class Key(NamedTuple):
    """Which SplitDeployment."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Owner:
    """The SplitDeployment that children belong to."""

    key: Key
    uid: str

    @property
    def reference(self) -> dict[str, Any]:
        """The entry of a child's `metadata.ownerReferences`."""
        about = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "name": self.key.name, "uid": self.uid}
        return {**about, "controller": True, "blockOwnerDeletion": False}


class JobState(StrEnum):
    """How far a Job came."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What a Job's status says.

    Attributes:
        state: how far it came.
        failed_pods: how many of its pods failed.
        finished: when it ended.
        message: why it failed, in Kubernetes' words.
    """

    state: JobState
    failed_pods: int = 0
    finished: datetime | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class WorkloadStatus:
    """What a Deployment's or DaemonSet's status says.

    Attributes:
        desired: pods that should be.
        updated: pods of the present template.
        ready: pods that answer.
        observed: the status is about the present spec.
        failure: why pods cannot be made, such as an exceeded quota; empty: they can.
    """

    desired: int
    updated: int
    ready: int
    observed: bool = True
    failure: str = ""

    @property
    def rolled_out(self) -> bool:
        """Every pod is of the present template and answers."""
        return self.observed and self.updated >= self.desired and self.ready >= self.desired


@dataclass(frozen=True, slots=True)
class Child:
    """An object that we made, as the watch last showed it.

    Attributes:
        kind: its kind.
        name: its name.
        uid: its uid.
        owner_uid: uid of the SplitDeployment that owns it; empty: nobody does.
        labels: its labels.
        annotations: its annotations.
        created: when it was made.
        document: the object as JSON, without status and managed fields; comparing needs it.
        job: for Jobs.
        workload: for Deployments and DaemonSets.
        deleting: it is being deleted.
    """

    kind: str
    name: str
    uid: str
    owner_uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    document: bytes = b"{}"
    job: JobStatus | None = None
    workload: WorkloadStatus | None = None
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of ours.

    Attributes:
        name: its name.
        uid: its uid.
        tier: the tier that it belongs to; empty for import and materialise Jobs.
        job: name of the Job that it belongs to; empty for stages.
        node: where it runs; empty: nowhere yet.
        ready: it answers.
        unscheduled: why it cannot be placed; empty: it is.
        waiting: why its container cannot start, as in `ErrImagePull: …`; empty: it can.
        terminated: the termination message of its last run; for Jobs the JSON object of the program.
        exit_reason: why its last run ended, such as OOMKilled; empty: it did not end, or well.
        created: when it was made.
        deleting: it is being deleted.
    """

    name: str
    uid: str = ""
    tier: str = ""
    job: str = ""
    node: str = ""
    ready: bool = False
    unscheduled: str = ""
    waiting: str = ""
    terminated: str = ""
    exit_reason: str = ""
    created: datetime | None = None
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """The route ConfigMap.

    Attributes:
        resource_version: fence of the next write.
        uid: its uid.
        owner_uid: uid of the SplitDeployment that owns it.
        epoch: the route's epoch.
        bundle: digest of the manifest that it serves from.
        selected: digest of the plan that heads use; empty: none yet.
        payload: the serialized `tiersplit.wire.v1.Route`.
    """

    resource_version: str
    uid: str
    owner_uid: str
    epoch: int
    bundle: str
    selected: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A manifest in the registry, as far as decisions need it.

    Attributes:
        repository: `HOST[:PORT]/PATH`.
        digest: of the manifest.
        base: digest of the manifest that import wrote.
        graph: digest of the graph blob; empty: this is no bundle.
        segments: digest of the ONNX file per segment id.
        profiles: digest of the newest profile blob per tier name.
        surface: digest of the surface blob; empty: there is none.
        quantization: digest of the statistics for quantisation; empty: there was no calibration data.
        accuracies: digest of the accuracies that were measured; empty: none was.
        forms: quantised forms of the whole model, to be measured.
        outcome: what planning came to, beside the surface; see `plan_outcome`.
        annotations: the manifest's annotations.
    """

    repository: str
    digest: str
    base: str = ""
    graph: str = ""
    segments: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)
    surface: str = ""
    quantization: str = ""
    accuracies: str = ""
    forms: frozenset[str] = frozenset()
    outcome: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """`oci://REPOSITORY@DIGEST`."""
        return f"oci://{self.repository}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Target:
    """What may be served: everything is in the registry, and every plan's segments are cut.

    Attributes:
        owner: the resource.
        resource: checked and completed.
        generation: the resource's generation that it was made for.
        artifact: the bundle with surface, refined profiles and segments.
        addresses: `HOST:PORT` by which the tier before each tier dials it; the first tier has none.
    """

    owner: Owner
    resource: SplitDeployment
    generation: int
    artifact: ArtifactRecord
    addresses: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """A link as estimated: `bandwidth_bps` 0 is down."""

    source: str
    target: str
    bandwidth_bps: float
    latency_s: float


@dataclass(frozen=True, slots=True)
class StageSeen:
    """What one tier does in the selected plan: how many layers it has, and the bytes that it sends on per request."""

    tier: str
    layers: int
    sends_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """One decision of the policy.

    Attributes:
        at: when.
        plan: digest of the plan that was chosen.
        reason: why, in one sentence.
        node: the node whose head moved by itself; empty: the operator moved all.
    """

    at: datetime
    plan: str
    reason: str
    node: str = ""


class PinProblem(NamedTuple):
    """Why a pinned plan does not serve: one word for programs, a sentence that says what to write or wait for."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class AdaptationView:
    """What adaptation has to say about one resource.

    Attributes:
        bundle: digest of the manifest that the route serves from.
        selected: digest of the plan that heads use; None: none yet.
        split: how many layers each tier has, as in `edge:12,cloud:40`.
        stages: what each tier does in the selected plan.
        accuracy: what the metric says of it on the validation data; None: not known.
        bits: its widths of weights and activations, as in `W8A8`; empty: the model's own.
        form: how its layers of fewer bits run; empty: there are none.
        plans: how many plans the route has.
        gap: how far the best of the plans may be from the best of all.
        selectable: digests of the plans that answered their golden request.
        expected_s: estimated seconds of the selected plan now.
        observed_s: mean seconds that heads saw.
        links: links as estimated.
        loads: observed over profiled seconds per tier.
        nodes: how many heads use each plan, by digest.
        fallback: why observations cannot be used; empty: they can.
        recommendation: what would be done if it were allowed; empty: nothing.
        pin_problem: why the pinned plan does not serve; None: no pin, or it serves.
        problems: what stages complain of, by pod.
        moves: decisions since this process leads, newest first.
        switching: the present target is not yet what all requests use.
    """

    bundle: str
    selected: str | None = None
    split: str = ""
    stages: tuple[StageSeen, ...] = ()
    accuracy: float | None = None
    bits: str = ""
    form: str = ""
    plans: int = 0
    gap: float | None = None
    selectable: frozenset[str] = frozenset()
    expected_s: float | None = None
    observed_s: float | None = None
    links: tuple[LinkSeen, ...] = ()
    loads: Mapping[str, float] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)
    fallback: str = ""
    recommendation: str = ""
    pin_problem: PinProblem | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    switching: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """The world as one reconcile sees it.

    Attributes:
        key: which resource.
        now: the time.
        body: the resource as it stands.
        children: what we made, route and pods apart.
        pods: pods of stages and Jobs.
        route: the route ConfigMap.
        artifacts: what the registry answered, by reference; None: it has no such manifest.
        registry_problem: why the registry does not answer; empty: it does.
        failures: per plan key why planning failed.
        warnings: newest warning event per child that lacks pods, by `Kind/name`.
        adaptation: what adaptation has to say.
    """

    key: Key
    now: datetime
    body: Document
    children: tuple[Child, ...] = ()
    pods: tuple[Pod, ...] = ()
    route: RouteRecord | None = None
    artifacts: Mapping[str, ArtifactRecord | None] = field(default_factory=dict)
    registry_problem: str = ""
    failures: Mapping[str, "PlanFailure"] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    adaptation: AdaptationView | None = None

    @property
    def owner(self) -> Owner:
        """Whom children belong to."""
        return Owner(self.key, str(self.body["metadata"]["uid"]))

    @property
    def generation(self) -> int:
        """The generation of the spec."""
        return int(self.body["metadata"].get("generation", 0))

    @property
    def status(self) -> Document:
        """The status as it stands."""
        return self.body.get("status") or {}

    def child(self, kind: str, name: str) -> Child | None:
        """The child of that kind and name."""
        return next((child for child in self.children if (child.kind, child.name) == (kind, name)), None)


@dataclass(frozen=True, slots=True)
class PlanFailure:
    """Why planning failed.

    Attributes:
        message: what is wrong and what to write.
        infeasible: no plan satisfies the constraints: trying again is of no use.
        retry_in_s: seconds until it is tried again; None: never.
    """

    message: str
    infeasible: bool
    retry_in_s: float | None = None
