"""What is known about how accurate a model and its plans are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiersplit_api.v1alpha1.model import Validation
from tiersplit_bundle.accuracies import Accuracies
from tiersplit_control.intent import Intent
from tiersplit_core.planning.variants import useful_forms
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Quality:
    """What calibration and validation found out.

    Attributes:
        statistics: of calibration; None without calibration data.
        accuracies: of plans with bit widths, by digest, on the validation data.
        whole: of the model as it is; None without validation data.
    """

    statistics: Statistics | None = None
    accuracies: Mapping[str, float] = field(default_factory=dict)
    whole: float | None = None

    def least(self, intent: Intent) -> float | None:
        """The accuracy that a plan must reach; None where that is not known."""
        if self.whole is None:
            return None
        if intent.least_accuracy is not None:
            return intent.least_accuracy
        return None if intent.max_drop is None else self.whole - intent.max_drop

    def may_quantise(self, intent: Intent) -> bool:
        """Whether plans with bit widths may be looked for: they need calibration and validation data, and leave."""
        return bool(wanted_forms(intent)) and self.statistics is not None and self.least(intent) is not None


UNKNOWN = Quality()
"""Nothing is known: plans run layers as they are."""


def wanted_forms(intent: Intent) -> tuple[RunForm, ...]:
    """The forms that are worth looking at on the first tier; none where its weights may not have fewer bits."""
    limited = intent.tiers[0].memory_bytes is not None
    return useful_forms(intent.weight_bits, intent.activation_bits, memory_limited=limited)


def quality_of(validation: Validation, statistics: Statistics | None, accuracies: Accuracies | None) -> Quality:
    """What a bundle says for the validation that its manifest asks for; what another metric measured says nothing.

    Args:
        validation: the manifest's.
        statistics: the bundle's, for quantisation.
        accuracies: the bundle's.
    """
    if validation.uri is None or accuracies is None or accuracies.metric != validation.metric_name:
        return Quality(statistics)
    return Quality(statistics, accuracies.plans, accuracies.whole)
