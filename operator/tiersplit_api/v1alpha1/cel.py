"""Rules over several fields as the API server checks them: CEL, each with the sentence that a refused `apply` prints.

`validation` has the same rules for manifests that no API server sees; a test keeps the two equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from tiersplit_api.v1alpha1.adaptation import Accuracy, Adaptation, Objective
from tiersplit_api.v1alpha1.model import Model, ModelInput, ModelSource, TorchSource, Validation
from tiersplit_api.v1alpha1.tiers import Link, Tier
from tiersplit_api.v1alpha1.types import Spec


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a type.

    Attributes:
        expression: CEL that holds for a good value.
        message: what to write instead.
        path: field under the type that is at fault, such as `.replicas`; empty for the value itself.
    """

    expression: str
    message: str
    path: str = ""


def _percent(field: str) -> Rule:
    expression = f"!has(self.{field}) || double(self.{field}.replace('%', '')) <= 100.0"
    return Rule(expression, f"{field} is more than 100%", f".{field}")


def _at_least(field: str, least: str) -> Rule:
    expression = f"!has(self.{field}) || quantity(string(self.{field})).compareTo(quantity('{least}')) >= 0"
    return Rule(expression, f"{field} is too little; write at least {least}", f".{field}")


NAME = Rule(
    "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "a Service is called like the resource: write a metadata.name of at most 40 lower-case letters, digits and -, "
    "a letter first",
)

_OWN_METRIC = "has(self.metric) && self.metric == 'Function'"

RULES: Mapping[type[BaseModel], tuple[Rule, ...]] = {
    ModelSource: (
        Rule(
            "[has(self.torch), has(self.exportedProgramUri), has(self.onnxUri), has(self.bundle)]"
            ".filter(x, x).size() == 1",
            "write exactly one of torch, exportedProgramUri, onnxUri, bundle",
        ),
    ),
    TorchSource: (
        Rule("self.weights != 'Uri' || has(self.weightsUri)", "weights is Uri: write where they are", ".weightsUri"),
        Rule("self.weights == 'Uri' || !has(self.weightsUri)", "weightsUri is given: write weights: Uri", ".weights"),
    ),
    Model: (
        Rule(
            "!has(self.source.torch) || (has(self.inputs) && self.inputs.size() > 0)",
            "a torch source needs inputs: write name, datatype and shape of each",
        ),
    ),
    ModelInput: (
        Rule(
            "self.shape.all(size, size != 0) && "
            "self.shape.filter(size, size < 0).size() == (self.shape[0] < 0 ? 1 : 0)",
            "sizes are at least 1; -1 stands first only and is the batch",
            ".shape",
        ),
        Rule(
            "!has(self.wireDatatype) || self.wireDatatype == 'UINT8' || self.wireDatatype == self.datatype",
            "wireDatatype is UINT8 or the same as datatype",
            ".wireDatatype",
        ),
    ),
    # The API server checks the default of a whole object, `{}`, before the defaults of its fields are there.
    Validation: (
        Rule(f"!({_OWN_METRIC}) || has(self.function)", "metric is Function: write which", ".function"),
        Rule(f"({_OWN_METRIC}) || !has(self.function)", "function is given: write metric: Function", ".metric"),
    ),
    Accuracy: (
        Rule("!(has(self.maxDrop) && has(self.min))", "write maxDrop or min, not both"),
        _percent("maxDrop"),
        _percent("min"),
    ),
    Adaptation: (_percent("minGain"),),
    Objective: (
        Rule("!(has(self.minimize) && has(self.maximize))", "write minimize or maximize, not both"),
        Rule(
            "has(self.maximize) == has(self.maxLatencyMilliseconds)",
            "maximize and maxLatencyMilliseconds belong together: write both or none",
        ),
    ),
    Tier: (
        Rule(
            "self.placement != 'EveryNode' || !has(self.replicas)",
            "placement is EveryNode: leave replicas out",
            ".replicas",
        ),
        _at_least("memory", "16Mi"),
    ),
    Link: (_at_least("bandwidth", "1k"),),
    Spec: (
        Rule(
            "self.tiers.all(one, self.tiers.exists_one(other, other.name == one.name))",
            "tiers have different names",
            ".tiers",
        ),
        Rule(
            "!has(self.links) || self.links.all(link, [1, 2, 3, 4, 5].exists(i, i < self.tiers.size() && "
            "self.tiers[i - 1].name == link.from && self.tiers[i].name == link.to))",
            "links join neighbouring tiers, from the one nearer to the edge to the next",
            ".links",
        ),
        Rule(
            "!has(self.resultTier) || self.tiers.exists(tier, tier.name == self.resultTier)",
            "resultTier is the name of a tier",
            ".resultTier",
        ),
    ),
}
