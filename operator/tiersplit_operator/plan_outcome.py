"""What planning came to, as it lies beside the surface in the registry."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tiersplit_core.errors import BundleError

ANNOTATION = "tiersplit.outcome"
"""Annotation of a surface's entry in a bundle's manifest."""
ACCURACY_ANNOTATION = "tiersplit.accuracy"
"""Annotation of a bundle's manifest: the model's metric on the validation data, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """One step of planning in rounds.

    Attributes:
        settled: the surface may be served; else what follows is to be cut or measured first.
        plans: how many plans the surface has.
        round: which round it is.
        off: how far estimate and measurement were apart, where it settled.
        uncut: how many segments no file was cut for.
        unmeasured: per tier, ids of the segments that are to be measured there.
        base_bytes: memory of the idle runtime per tier, where it was measured.
    """

    settled: bool
    plans: int
    round: int
    off: float = 0.0
    uncut: int = 0
    unmeasured: Mapping[str, list[str]] = field(default_factory=dict)
    base_bytes: Mapping[str, int] = field(default_factory=dict)

    def to_text(self) -> str:
        """As it is annotated."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> "PlanOutcome":
        """The outcome that an annotation holds.

        Raises:
            BundleError: it holds none.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise BundleError("the surface's entry says nothing of how it was planned", ANNOTATION) from error
