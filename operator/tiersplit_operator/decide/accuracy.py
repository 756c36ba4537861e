"""Whether the plans keep the accuracy that is asked for; what misses it never serves."""

import math
from dataclasses import replace

from tiersplit_api.v1alpha1.types import Spec
from tiersplit_control.words import accuracy_sentence, accuracy_text, below_minimum, fewer_bits_hint
from tiersplit_operator import conditions
from tiersplit_operator.conditions import Conditions, Mark
from tiersplit_operator.decide.progress import Progress
from tiersplit_operator.facts import ArtifactRecord
from tiersplit_operator.plan_outcome import ACCURACY_ANNOTATION, PlanOutcome


def accuracy(progress: Progress) -> Progress:
    """Compare what was measured with what is asked for."""
    if progress.context is None:
        return progress
    spec, bundle = progress.context.resource.spec, progress.target.artifact if progress.target else progress.model
    hint = "" if bundle is None else _hint(spec, bundle)
    if spec.model.validation.uri is None:
        return progress.mark(conditions.accuracy_unknown(hint))
    missed = "" if bundle is None else below_minimum(_whole(progress, bundle), spec.accuracy)
    if missed:
        return replace(progress, target=None).mark(conditions.accuracy_missed(missed))
    if progress.target is None or progress.outcome is None:
        return _pending(progress)
    return progress.mark(_met(spec, progress.outcome, _whole(progress, progress.target.artifact), hint))


def _hint(spec: Spec, bundle: ArtifactRecord) -> str:
    rated = bool(bundle.accuracies) or _measured(bundle) is not None
    return fewer_bits_hint(spec, calibrated=bool(bundle.quantization), rated=rated)


def _whole(progress: Progress, bundle: ArtifactRecord) -> float | None:
    """The accuracy of the model as it is."""
    known = progress.outcome.whole if progress.outcome else None
    return _measured(bundle) if known is None else known


def _measured(bundle: ArtifactRecord) -> float | None:
    """What the metric says of the model; None where a bundle's annotation says no number."""
    try:
        found = float(bundle.annotations.get(ACCURACY_ANNOTATION, ""))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _pending(progress: Progress) -> Progress:
    """What was found out about earlier plans stays said until those that are asked for are rated."""
    facts = progress.facts
    before = Conditions.read(facts.status, facts.generation, facts.now).get(conditions.ACCURACY_MET)
    if before is not None and before.reason != "Waiting":
        return progress
    return progress.mark(conditions.accuracy_pending(progress.outcome.unrated if progress.outcome else 0))


def _met(spec: Spec, outcome: PlanOutcome, whole: float | None, hint: str) -> Mark:
    if whole is None and spec.accuracy.min is not None:
        return conditions.accuracy_unknown(hint)
    if whole is None:
        return conditions.accuracy_met(_joined("every plan computes what the model computes", hint))
    if not outcome.quantised or outcome.accuracy is None:
        return conditions.accuracy_met(_joined(f"every plan reaches the model's {accuracy_text(whole)}", hint))
    said = accuracy_sentence(outcome.accuracy, whole, spec.accuracy)
    return conditions.accuracy_met(f"{said}; {outcome.quantised} of {outcome.plans} plans run with fewer bits")


def _joined(said: str, hint: str) -> str:
    return f"{said}; {hint}" if hint else said
