"""What every builder needs to know."""

from dataclasses import dataclass

from tiersplit_api.v1alpha1.types import GROUP, SplitDeployment
from tiersplit_core.quantization.forms import RunForm
from tiersplit_operator.facts import Owner
from tiersplit_operator.settings import OperatorSettings

NAME_LABEL = "app.kubernetes.io/name"
STAGE, JOB = "tiersplit-stage", "tiersplit-job"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "tiersplit"
DEPLOYMENT_LABEL = f"{GROUP}/deployment"
TIER_LABEL = f"{GROUP}/tier"
STEP_LABEL = f"{GROUP}/step"
KEY_ANNOTATION = f"{GROUP}/key"
EPOCH_ANNOTATION = f"{GROUP}/epoch"
BUNDLE_ANNOTATION = f"{GROUP}/bundle"
SELECTED_ANNOTATION = f"{GROUP}/selected"
OPERATOR_ANNOTATION = f"{GROUP}/operator"
"""Of a resource's ServiceAccount, which is made first: which operator's children these are."""


@dataclass(frozen=True, slots=True)
class Context:
    """For whom something is built.

    Attributes:
        owner: the SplitDeployment that children belong to.
        resource: the same, checked and completed.
        settings: the operator's own.
    """

    owner: Owner
    resource: SplitDeployment
    settings: OperatorSettings

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.owner.key.name

    @property
    def namespace(self) -> str:
        """The resource's namespace."""
        return self.owner.key.namespace

    def labels(self, tier: str = "", step: str = "") -> dict[str, str]:
        """Labels of a child, of a tier's child, or of a Job."""
        return labels_of(self.name, tier, step)


def labels_of(name: str, tier: str = "", step: str = "") -> dict[str, str]:
    """The labels of a child of the resource called `name`."""
    labels = {
        NAME_LABEL: JOB if step else STAGE,
        "app.kubernetes.io/part-of": MANAGER,
        MANAGED_BY: MANAGER,
        "app.kubernetes.io/instance": name,
        DEPLOYMENT_LABEL: name,
    }
    return labels | ({TIER_LABEL: tier} if tier else {}) | ({STEP_LABEL: step} if step else {})


def stage_selector(name: str, tier: str) -> dict[str, str]:
    """Which pods are stages of a tier: its profile Jobs carry the tier's label too, and must get no traffic."""
    return {NAME_LABEL: STAGE, DEPLOYMENT_LABEL: name, TIER_LABEL: tier}


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """What a profile Job measures.

    Attributes:
        key: names the result.
        bundle: `oci://HOST/REPOSITORY@DIGEST` of the bundle.
        tag: tag under which the profile is pushed.
        threads: intra-op threads, as the stage has them.
        batches: batch sizes.
        segments: digests of segments' files; empty: layers are measured.
        forms: quantised forms in which the layers are measured too.
    """

    key: str
    bundle: str
    tag: str
    threads: int
    batches: tuple[int, ...]
    segments: tuple[str, ...] = ()
    forms: tuple[RunForm, ...] = ()
