"""`tiersplit materialise`: cut the segments of a surface into the bundle, and rate its plans on validation data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiersplit_cli.files import read_json
from tiersplit_cli.output import Format, OutputOption, emit, say, working
from tiersplit_cli.validation import MetricOption, ValidationOption, validation_of

if TYPE_CHECKING:
    from tiersplit_bundle.bundle import Bundle
    from tiersplit_core.planning.plan import Plan
    from tiersplit_import.metrics import Comparison


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("materialise")(materialise)


def materialise(
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="The bundle that the segments are added to.")],
    surface: Annotated[Path, typer.Option("--surface", help="The surface as JSON.")],
    validation: ValidationOption = None,
    metric: MetricOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Cut the segments of all plans of a surface; measure the accuracy of those that quantise layers.

    What the bundle holds already stays.
    """
    from tiersplit_bundle.bundle import Bundle  # noqa: PLC0415 - --help needs none of this
    from tiersplit_core.planning.segments import segments_of  # noqa: PLC0415
    from tiersplit_core.planning.surface_json import surface_from_json  # noqa: PLC0415
    from tiersplit_import import segments as cutting  # noqa: PLC0415

    given = validation_of(validation, metric)
    plans = surface_from_json(read_json(surface)).plans
    wanted = segments_of(Bundle.open(bundle).graph, plans)
    with working(f"cutting {len(wanted)} segments"):
        made = cutting.materialise(bundle, wanted)
    if given is not None:
        made = _rated(made, plans, *given)
    value: dict[str, Any] = {"bundle": str(bundle), "digest": made.digest, "segments": [spec.id for spec in wanted]}
    value |= {"accuracy": _accuracy(made, plans), "unrated": _unrated(made, plans)}
    if value["unrated"]:
        say(f"plans that quantise layers and are not rated: {len(value['unrated'])}; give --validation FILE")
    emit(value, output, lambda: _text(value))


def _rated(bundle: "Bundle", plans: "Sequence[Plan]", data: Path, metric: "Comparison") -> "Bundle":
    from tiersplit_bundle import extend  # noqa: PLC0415
    from tiersplit_import.rating import rate  # noqa: PLC0415

    with working("rating plans"):
        blobs = rate(bundle, plans, data, metric, say)
    return extend(bundle, blobs) if blobs else bundle


def _accuracy(bundle: "Bundle", plans: "Sequence[Plan]") -> dict[str, Any] | None:
    """What the bundle knows of the surface's plans, as plain JSON values."""
    known = bundle.accuracies
    if known is None:
        return None
    rated = {plan.digest: known.plans[plan.digest] for plan in plans if plan.digest in known.plans}
    return {"metric": known.metric, "whole": known.whole, "plans": rated}


def _unrated(bundle: "Bundle", plans: "Sequence[Plan]") -> list[str]:
    known = {} if bundle.accuracies is None else bundle.accuracies.plans
    return [plan.digest for plan in plans if plan.widths and plan.digest not in known]


def _text(value: Mapping[str, Any]) -> str:
    found = value["accuracy"]
    text = f"{len(value['segments'])} segments in {value['bundle']} ({value['digest']})"
    return text if found is None else f"{text}\n{found['metric']}: {found['whole']:.2%}{_shares(found['plans'])}"


def _shares(plans: Mapping[str, float]) -> str:
    return "".join(f"\n  {digest}: {share:.2%}" for digest, share in plans.items())
