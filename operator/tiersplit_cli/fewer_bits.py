"""Bit widths for a bundle's problem: from its calibration, the first tier's profile, and what may be used."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tiersplit_cli.output import say
from tiersplit_core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiersplit_bundle.bundle import Bundle
    from tiersplit_cli.planned import Given
    from tiersplit_core.planning.problem import Problem
    from tiersplit_core.profile.layers import TierProfile
    from tiersplit_core.quantization.forms import RunForm
    from tiersplit_core.quantization.statistics import Statistics

DEFAULT_MAX_DROP = "1%"
_BITS = "2, 4, 6, 8, 16 and 32"
_MEASURE = "measure it with `tiersplit profile` on the calibrated bundle"

WeightBitsOption = Annotated[
    str | None,
    typer.Option("--weight-bits", help="Bits that the first tier's weights may have: 2,4,6,8; for --bundle."),
]
ActivationBitsOption = Annotated[
    str | None, typer.Option("--activation-bits", help="The same of what its layers hand on; for --bundle.")
]
MaxDropOption = Annotated[
    str | None,
    typer.Option("--max-drop", help=f"Accuracy that fewer bits may cost; {DEFAULT_MAX_DROP} if unset; for --bundle."),
]
MaxDistortionOption = Annotated[
    float | None, typer.Option("--max-distortion", min=0, help="Error that they may add instead; for --bundle.")
]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What the command line says about bit widths, as it was typed.

    Attributes:
        weight_bits: such as `2,4,8`; None: all that were calibrated.
        activation_bits: the same of activations.
        max_drop: such as `1%`.
        max_distortion: the error tolerance E, instead of accuracy.
    """

    weight_bits: str | None = None
    activation_bits: str | None = None
    max_drop: str | None = None
    max_distortion: float | None = None

    @property
    def options(self) -> dict[str, object]:
        """What was typed, by option."""
        every = {
            "--weight-bits": self.weight_bits,
            "--activation-bits": self.activation_bits,
            "--max-drop": self.max_drop,
            "--max-distortion": self.max_distortion,
        }
        return {option: value for option, value in every.items() if value is not None}


NOTHING_SAID = Narrowing()
"""All that was calibrated, at the default drop."""


def given_of(problem: "Problem", bundle: "Bundle", first: "TierProfile", wanted: Narrowing) -> "Given":
    """The problem of a bundle, with variants where it was calibrated and the first tier was measured in some form.

    Args:
        problem: with layers as they are.
        bundle: the bundle.
        first: the first tier's profile.
        wanted: what the command line allows.

    Raises:
        InputError: an option is wrong, or needs what the bundle or the profile lacks.
    """
    from tiersplit_cli.planned import Given  # noqa: PLC0415 - --help needs none of this
    from tiersplit_core.units import parse_percent  # noqa: PLC0415

    drop, error = wanted.max_drop, wanted.max_distortion
    if drop is not None and error is not None:
        raise InputError("write --max-drop or --max-distortion, not both", "--max-drop")
    if bundle.quantization is None:
        for option in wanted.options:
            raise InputError("the bundle was not calibrated; import it with --calibration", option)
        return Given(problem)
    if drop is not None and bundle.accuracies is None:
        raise InputError("nothing of the bundle was rated; import it with --validation", "--max-drop")
    forms = dict(_forms(problem, bundle.quantization, first, wanted))
    if not forms:
        _say_why(first, wanted)
    share = parse_percent(drop or DEFAULT_MAX_DROP, "--max-drop")
    return Given(problem, forms, bundle.accuracies, share, error)


def _forms(
    problem: "Problem", statistics: "Statistics", first: "TierProfile", wanted: Narrowing
) -> "Iterator[tuple[RunForm, Problem]]":
    from tiersplit_core.planning.build import form_seconds_in  # noqa: PLC0415
    from tiersplit_core.planning.variants import useful_forms, with_form  # noqa: PLC0415

    weights = _bits(wanted.weight_bits, "--weight-bits")
    activations = _bits(wanted.activation_bits, "--activation-bits")
    limited = problem.tiers[0].memory_bytes is not None
    for form in useful_forms(weights, activations, memory_limited=limited):
        seconds = form_seconds_in(problem, first, form)
        made = with_form(problem, statistics, form, seconds, weights, activations)
        if any(layer.variants for layer in made.layers):
            yield form, made


def _bits(text: str | None, option: str) -> tuple[int, ...]:
    from tiersplit_core.quantization.statistics import BIT_WIDTHS  # noqa: PLC0415

    if text is None:
        return BIT_WIDTHS
    known = {str(bits): bits for bits in (*BIT_WIDTHS, 16, 32)}
    parts = [part.strip() for part in text.split(",")]
    if not all(part in known for part in parts):
        raise InputError(f"{text[:40]!r} is no list of bit widths; write some of {_BITS}, as in 2,4,8", option)
    return tuple(sorted({known[part] for part in parts}))


def _say_why(first: "TierProfile", wanted: Narrowing) -> None:
    """Why plans have no bit widths although the bundle was calibrated."""
    if any(seen.forms for seen in first.batches.values()):
        return
    why = f"the profile of {first.tier} has no seconds of quantised layers; {_MEASURE}"
    for option in wanted.options:
        raise InputError(why, option)
    say(f"layers are planned as they are: {why}")
