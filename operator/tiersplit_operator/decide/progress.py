"""What the steps have come to so far: each step takes it and returns more of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tiersplit_api.v1alpha1.types import SplitDeployment
from tiersplit_control.intent import Intent
from tiersplit_operator.conditions import Mark
from tiersplit_operator.facts import ArtifactRecord, Facts, Target
from tiersplit_operator.plan_outcome import PlanOutcome
from tiersplit_operator.resources.context import Context
from tiersplit_operator.settings import OperatorSettings

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """A plan that is to be made.

    Attributes:
        key: names what it comes to; pushed as `plan-KEY`.
        artifact: the bundle, with the segments that were cut so far.
        profiles: per tier, what was measured there: `oci://…@DIGEST` of a profile's manifest, or the digest
            of a profile blob of the bundle.
        resource: what is asked for.
    """

    key: str
    artifact: ArtifactRecord
    profiles: Mapping[str, tuple[str, ...]]
    resource: SplitDeployment


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that people are told in an event."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What was decided so far.

    Attributes:
        facts: what is known.
        settings: the operator's own.
        context: for whom children are built; None: the manifest cannot be followed.
        intent: what the manifest asks for, in numbers.
        repository: `HOST/PATH` where everything about the model lies.
        model: the bundle that import pushed.
        layers: per tier, the name of its layers' profile: its content's key, or the digest of one that was given.
        measuring: tags of profiles that Jobs are measuring.
        measured: per tier, what was measured there (see `PlanOrder.profiles`).
        target: what may be served for the present spec; None: not ready yet.
        outcome: what planning came to so far; None: nothing yet.
        children: what should exist, in the order in which it is applied.
        kept: (kind, name) of children that stay as they stand.
        lost: names of Jobs whose result is gone: they are removed, so that they run again.
        marks: what conditions say.
        needs: references that the registry must be asked for before more can be decided.
        orders: plans that are to be made.
        check_after_s: when something is due by itself; None: never.
        recheck_s: how soon to look again for what no watch tells; None: there is no such thing.
        swept: children that are no longer wanted may go.
    """

    facts: Facts
    settings: OperatorSettings
    context: Context | None = None
    intent: Intent | None = None
    repository: str = ""
    model: ArtifactRecord | None = None
    layers: Mapping[str, str] = field(default_factory=dict)
    measuring: frozenset[str] = frozenset()
    measured: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    target: Target | None = None
    outcome: PlanOutcome | None = None
    children: tuple[Tree, ...] = ()
    kept: frozenset[tuple[str, str]] = frozenset()
    lost: frozenset[str] = frozenset()
    marks: Mapping[str, Mark] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    orders: tuple[PlanOrder, ...] = ()
    check_after_s: float | None = None
    recheck_s: float | None = None
    swept: bool = False

    def mark(self, *marks: Mark) -> "Progress":
        """With these findings."""
        return replace(self, marks={**self.marks, **{mark.type: mark for mark in marks}})

    def want(self, *children: Tree) -> "Progress":
        """With these objects."""
        return replace(self, children=(*self.children, *children))

    def keep(self, kind: str, name: str) -> "Progress":
        """With one object left as it stands."""
        return replace(self, kept=self.kept | {(kind, name)})

    def need(self, *references: str) -> "Progress":
        """With these questions to the registry."""
        return replace(self, needs=self.needs | set(references))

    def again(self, after_s: float) -> "Progress":
        """With another look after so many seconds at the latest: something is due then."""
        return replace(self, check_after_s=_sooner(self.check_after_s, after_s))

    def recheck(self, after_s: float) -> "Progress":
        """With another look after so many seconds, and later and later ones as long as nothing else is found."""
        return replace(self, recheck_s=_sooner(self.recheck_s, after_s))

    def tagged(self, tag: str) -> str:
        """The reference of a tag in the model's repository."""
        return f"oci://{self.repository}:{tag}"


def _sooner(known: float | None, after_s: float) -> float:
    return after_s if known is None else min(known, after_s)
