"""Measuring the layers of a model in its quantised forms: as the layers themselves, form by form."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from tiersplit_bundle.bundle import Bundle
from tiersplit_core.errors import BundleError, InputError, OperationError
from tiersplit_core.profile.layers import TierProfile, Timing
from tiersplit_core.profile.refine import merge_forms
from tiersplit_core.quantization.forms import RunForm
from tiersplit_stage.measure.chunks import Seen
from tiersplit_stage.measure.settings import Say, Settings
from tiersplit_stage.measure.whole import left_out, seen_per_batch

NO_FORMS = "none"
"""Asked for where the layers as they are suffice."""

_FORMS = {form.value: form for form in (RunForm.INT8, RunForm.PACKED)}

FormTimings = dict[int, dict[RunForm, dict[str, Timing]]]
"""Seconds per layer, by batch size and form."""


def measure_forms(bundle: Bundle, settings: Settings, forms: Collection[RunForm], say: Say) -> FormTimings:
    """The layers' seconds with the whole model in each of `forms`, at each batch size.

    A form that does not fit the tier's memory is measured in chunks. What does not fit even so, or cannot run there, is
    left out, and `say` is told: plans can do without it.

    Args:
        bundle: holds the forms.
        settings: how to measure.
        forms: which ones.
        say: told after each batch size.

    Raises:
        BundleError: the bundle does not have one of the forms.
    """
    _check_forms(bundle, forms)
    found: FormTimings = {}
    for form in forms:
        for batch, seen in _measured(bundle, settings, form, say):
            found.setdefault(batch, {})[form] = dict(seen.layers)
    return found


def with_forms(
    profile: TierProfile, bundle: Bundle, settings: Settings, forms: Collection[RunForm], say: Say
) -> TierProfile:
    """A profile with what layers take in `forms`, at those of the batch sizes at which it has layers.

    Args:
        profile: of the same tier and model.
        bundle: holds the forms.
        settings: how to measure.
        forms: which ones.
        say: told after each batch size.

    Raises:
        BundleError: the bundle does not have one of the forms.
    """
    sizes = tuple(size for size in settings.batches if size in profile.batches)
    return merge_forms(profile, measure_forms(bundle, replace(settings, batches=sizes), forms, say))


def wanted_forms(text: str, bundle: Bundle) -> tuple[RunForm, ...]:
    """The forms that are asked for with a text such as `int8,packed`, each once.

    Args:
        text: `none` for none of them; empty for all that the bundle has.
        bundle: what is measured.

    Raises:
        InputError: it is no such list.
        BundleError: the bundle does not have one of them.
    """
    if not text:
        return tuple(bundle.forms)
    names = [] if text.strip() == NO_FORMS else [part.strip() for part in text.split(",")]
    try:
        forms = tuple(dict.fromkeys(_FORMS[name] for name in names))
    except KeyError:
        raise InputError(f"{text!r} is no list of forms; write int8, packed, both or {NO_FORMS}", "--forms") from None
    _check_forms(bundle, forms)
    return forms


def _check_forms(bundle: Bundle, forms: Collection[RunForm]) -> None:
    for form in forms:
        if form not in bundle.forms:
            raise BundleError(f"the bundle has no form {form.value!r}; import the model with --calibration", "--forms")


def _measured(bundle: Bundle, settings: Settings, form: RunForm, say: Say) -> Iterator[tuple[int, Seen]]:
    """One batch size after the other, up to the first that cannot be measured."""
    measured: list[int] = []
    try:
        for batch, seen in seen_per_batch(bundle, settings, form, say):
            measured.append(batch)
            yield batch, seen
    except OperationError as error:
        batch = next(size for size in sorted(set(settings.batches)) if size not in measured)
        say(left_out(form, batch, error))
