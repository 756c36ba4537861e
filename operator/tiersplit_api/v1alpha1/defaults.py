"""Defaults that depend on other fields; plain ones stand at the fields themselves."""

from tiersplit_api.v1alpha1.adaptation import Accuracy, Minimize, Objective
from tiersplit_api.v1alpha1.types import SplitDeployment

DEFAULT_MAX_DROP = "1%"


def with_defaults(resource: SplitDeployment) -> SplitDeployment:
    """The resource with the objective, the accuracy and the result tier filled in."""
    spec = resource.spec
    return resource.model_copy(
        update={
            "spec": spec.model_copy(
                update={
                    "objective": _objective(spec.objective),
                    "accuracy": _accuracy(spec.accuracy),
                    "result_tier": spec.result_tier or spec.tiers[0].name,
                }
            )
        }
    )


def _objective(objective: Objective) -> Objective:
    if objective.minimize is None and objective.maximize is None:
        return objective.model_copy(update={"minimize": Minimize.LATENCY})
    return objective


def _accuracy(accuracy: Accuracy) -> Accuracy:
    if accuracy.max_drop is None and accuracy.min is None:
        return accuracy.model_copy(update={"max_drop": DEFAULT_MAX_DROP})
    return accuracy
