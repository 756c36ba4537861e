"""What people are told about bit widths and accuracy, on one machine and on a cluster."""

from collections.abc import Iterable, Iterator

from tiersplit_api.v1alpha1.adaptation import Accuracy
from tiersplit_api.v1alpha1.model import Model
from tiersplit_api.v1alpha1.tiers import Tier
from tiersplit_api.v1alpha1.types import Spec
from tiersplit_core.planning.plan import Plan
from tiersplit_core.quantization.statistics import FLOAT_BITS
from tiersplit_core.units import parse_percent

_LARGE = 1e6
CALIBRATION, VALIDATION = "spec.model.calibration.uri", "spec.model.validation.uri"


def bits_text(plan: Plan) -> str:
    """The widths of a plan's quantised layers, as in `W8A8` or `W4-8A8`; empty where there are none."""
    if not plan.widths:
        return ""
    weights, activations = zip(*plan.widths.values(), strict=True)
    return _span("W", weights) + _span("A", activations)


def _span(letter: str, widths: Iterable[int]) -> str:
    narrow = sorted({bits for bits in widths if bits < FLOAT_BITS})
    return f"{letter}{'-'.join(map(str, dict.fromkeys((narrow[0], narrow[-1]))))}" if narrow else ""


def form_text(plan: Plan) -> str:
    """How a plan's quantised layers run, `int8` or `packed`; empty where there are none."""
    return plan.form.value if plan.widths else ""


def accuracy_text(share: float) -> str:
    """A share of right answers as `97.83%`; a user's own function may return any number instead."""
    return f"{share:.2%}" if abs(share) < _LARGE else f"{100 * share:.4g}%"


def accuracy_sentence(fastest: float, whole: float, accuracy: Accuracy) -> str:
    """How the plan that is the fastest compares with the model, and what was asked for.

    Args:
        fastest: its share of right answers.
        whole: the model's.
        accuracy: the manifest's, completed.
    """
    wanted = f"maxDrop {accuracy.max_drop}" if accuracy.min is None else f"min {accuracy.min}"
    return f"the fastest accurate plan has {accuracy_text(fastest)}, the model {accuracy_text(whole)}; {wanted}"


def below_minimum(whole: float | None, accuracy: Accuracy) -> str:
    """What to do where the model itself is below the minimum; empty where it is not, or that is not known."""
    least = accuracy.min
    if least is None or whole is None or whole >= parse_percent(least):
        return ""
    return f"the model reaches {accuracy_text(whole)}, spec.accuracy.min asks for {least}; lower it, or train on"


def fewer_bits_hint(spec: Spec, *, calibrated: bool, rated: bool) -> str:
    """What is missing before plans of fewer bits can be made and verified, and what to write.

    Args:
        spec: what is wanted.
        calibrated: the bundle has statistics for quantisation.
        rated: the bundle has the model's own accuracy.

    Returns:
        A sentence; empty where nothing is missing, or the first tier allows no fewer bits.
    """
    first = spec.tiers[0]
    allowed, missing = _allowed(first), list(_missing(spec.model, calibrated, rated))
    if not allowed or not missing:
        return ""
    bits = " or ".join(map(str, allowed))
    return f"tier {first.name} may use {bits} bits: to have such plans made and verified, {' and '.join(missing)}"


def _allowed(tier: Tier) -> list[int]:
    weights, activations = (
        sorted({b for b in bits if b < FLOAT_BITS}) for bits in (tier.weight_bits, tier.activation_bits)
    )
    return weights if activations else []


def _missing(model: Model, calibrated: bool, rated: bool) -> Iterator[str]:
    given = model.source.bundle is not None
    if not calibrated:
        yield "import the bundle with --calibration" if given else f"write {CALIBRATION}"
    if model.validation.uri is None:
        yield f"write {VALIDATION}"
    if given and not rated:
        yield "import the bundle with --validation"
