"""`tiersplit import`: from a model to a bundle."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiersplit_cli.output import Format, OutputOption, emit, say, working
from tiersplit_cli.pushing import CaOption, PlainHttpOption, PushOption, push_bundle, target
from tiersplit_cli.validation import MetricOption, ValidationOption, validation_of
from tiersplit_core.errors import ModelError
from tiersplit_core.quantization.statistics import Clip, Metric
from tiersplit_core.units import format_bytes

if TYPE_CHECKING:
    from tiersplit_import.metrics import Comparison
    from tiersplit_import.pipeline import Imported


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)


def import_(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command line
    source: Annotated[str, typer.Argument(help="module:callable, a .pt2 file or an .onnx file.")],
    bundle: Annotated[Path | None, typer.Option("--bundle", "-b", help="Where it goes; default NAME.bundle.")] = None,
    name: Annotated[str | None, typer.Option(help="What the model is called.")] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="input:FP32:-1x3x224x224, once for each.")] = None,
    weights: Annotated[Path | None, typer.Option(help="safetensors or a state dict for the factory's module.")] = None,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Untrained weights are fine.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of random weights and of the golden input.")] = 0,
    wire_datatype: Annotated[str, typer.Option(help="FP32, or UINT8: a camera's bytes travel.")] = "FP32",
    mean: Annotated[str | None, typer.Option(help="Per channel, of the range 0 to 1, with UINT8.")] = None,
    std: Annotated[str | None, typer.Option(help="Per channel, of the range 0 to 1, with UINT8.")] = None,
    calibration: Annotated[Path | None, typer.Option(help=".npz file with samples in `x`.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=4096, help="How many of them are used.")] = 128,
    distortion: Annotated[Metric, typer.Option(help="How the harm of quantising a layer is measured.")] = Metric.MSE,
    clip: Annotated[Clip, typer.Option(help="How the ranges of quantised tensors are chosen.")] = Clip.MSE,
    validation: ValidationOption = None,
    metric: MetricOption = None,
    optimise: Annotated[bool, typer.Option("--optimise/--no-optimise", help="Fold norms, join activations.")] = True,
    push: PushOption = None,
    plain_http: PlainHttpOption = False,
    ca_file: CaOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Import a PyTorch or ONNX model into a bundle."""
    from tiersplit_import.options import ImportOptions, parse_input, parse_numbers  # noqa: PLC0415 - loads torch
    from tiersplit_import.pipeline import default_name, import_model  # noqa: PLC0415 - loads torch

    options = ImportOptions(
        name=name,
        inputs=tuple(parse_input(text) for text in inputs or ()),
        wire_uint8=_is_uint8(wire_datatype),
        mean=None if mean is None else parse_numbers(mean, "--mean"),
        std=None if std is None else parse_numbers(std, "--std"),
        weights=weights,
        random_weights=random_weights,
        seed=seed,
        optimise=optimise,
        calibration=calibration,
        samples=samples,
        distortion=distortion,
        clip=clip,
    )
    to = None if push is None else target(push)
    given = validation_of(validation, metric)
    path = bundle or Path(f"{name or default_name(source)}.bundle")
    with working("importing") as show:
        made = import_model(source, path, options, lambda text: show(f"{source}: {text}"))
    found = _told(made) | ({} if given is None else _measured(path, *given))
    found |= {} if to is None else {"pushed": push_bundle(path, to, plain_http, ca_file)}
    emit(found, output, lambda: _text(found))


def _told(made: "Imported") -> dict[str, Any]:
    """The import as plain JSON values, its warnings told."""
    for warning in made.warnings:
        say(f"[yellow]warning:[/yellow] {warning}")
    return made.to_json()


def _measured(path: Path, data: Path, metric: "Comparison") -> dict[str, Any]:
    """The bundle as it is with its accuracy in it, as plain JSON values."""
    from tiersplit_bundle import Bundle  # noqa: PLC0415
    from tiersplit_import.rating import with_accuracy  # noqa: PLC0415 - loads onnxruntime

    with working(f"measuring {metric.name}"):
        found = with_accuracy(Bundle.open(path), data, metric, say)
    whole = None if found.accuracies is None else found.accuracies.whole
    return {"digest": found.digest, "accuracy": {"metric": metric.name, "whole": whole}}


def _is_uint8(datatype: str) -> bool:
    if datatype not in {"FP32", "UINT8"}:
        raise ModelError(f"{datatype!r} is no wire datatype; write FP32 or UINT8", "--wire-datatype")
    return datatype == "UINT8"


def _text(found: Mapping[str, Any]) -> str:
    return (
        f"{found['name']}: {found['layers']} layers, {found['parameters']:,} parameters, {found['macs']:,} "
        f"multiply-accumulates, {format_bytes(found['weight_bytes'])} of weights\n"
        f"largest difference to the original: {found['max_abs_difference']:.3g}, "
        f"{found['max_relative_difference']:.1e} relative\n"
        f"cuts: {_cuts(found['cuts'])}\n"
        f"bundle: {found['bundle']} ({found['digest']})" + (f"\npushed: {found['pushed']}" if "pushed" in found else "")
    )


def _cuts(found: Mapping[str, Any]) -> str:
    along, single = found["execution_order"], found["single_tensor"]
    text = f"{len(along)} along the execution order, {len(single)} of a single tensor"
    least = min(single, key=lambda cut: cut["payload_bytes"], default=None)
    if least is not None:
        text += f", the smallest of {format_bytes(least['payload_bytes'])} behind {least['value']}"
    return text + " (all with -o json)"
