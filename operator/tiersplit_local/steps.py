"""The steps of a run that other rooms do: import, profile, materialise, each a command in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tiersplit_api.v1alpha1.model import Model, ModelInput, TorchSource, WeightsFrom
from tiersplit_control.words import CALIBRATION, VALIDATION
from tiersplit_core.errors import ManifestError, OperationError
from tiersplit_local.processes import MEMORY_ENVIRONMENT, tied
from tiersplit_local.workdir import file_key

Say = Callable[[str], None]
EXIT_BAD_INPUT = 2
STEP_TIMEOUT_S = 3600.0


def run_command(arguments: Sequence[str], log: Path, threads: int = 1) -> str:
    """Run `tiersplit ARGUMENTS` in a process that ends with this one; its stdout.

    Args:
        arguments: command and options.
        log: where its stderr goes.
        threads: for libraries that count processors themselves.

    Raises:
        ManifestError: it refused its input.
        OperationError: it failed.
    """
    environment = {**os.environ, **MEMORY_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            tied([sys.executable, "-m", "tiersplit_cli", *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=STEP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise OperationError(f"tiersplit {arguments[0]} took longer than {STEP_TIMEOUT_S:.0f} s") from error
        finally:
            _end_all(process)
    if process.returncode == 0:
        return printed.decode()
    said = log.read_text(errors="replace").strip()
    reason = f"tiersplit {arguments[0]} failed: {said[-1500:] or f'exit code {process.returncode}'}"
    raise ManifestError(reason, "spec.model") if process.returncode == EXIT_BAD_INPUT else OperationError(reason)


def _end_all(process: "subprocess.Popen[bytes]") -> None:
    """End a step that still runs, and what it started: they are a process group of their own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def import_arguments(model: Model, name: str, bundle: Path, manifest: Path) -> list[str]:
    """The command that imports a model.

    Raises:
        ManifestError: the source is somewhere where a local run cannot read it.
    """
    source = model.source
    arguments = ["import", "--bundle", str(bundle), "--name", name, "-o", "json"]
    if source.torch is not None:
        arguments += [source.torch.factory, *_weights(source.torch, manifest)]
    elif source.exported_program_uri is not None:
        arguments.append(str(local_file(source.exported_program_uri, manifest, "spec.model.source.exportedProgramUri")))
    else:
        arguments.append(str(local_file(source.onnx_uri or "", manifest, "spec.model.source.onnxUri")))
    for item in model.inputs:
        arguments += ["--input", _input(item)]
    if any(item.wire_datatype not in {None, item.datatype} for item in model.inputs):
        arguments += ["--wire-datatype", "UINT8"]
    if model.calibration.uri is not None:
        file = local_file(model.calibration.uri, manifest, CALIBRATION)
        arguments += ["--calibration", str(file), "--samples", str(model.calibration.samples)]
    return arguments + validation_arguments(model, manifest)


def validation_arguments(model: Model, manifest: Path) -> list[str]:
    """How a command is told the validation data; empty where there are none.

    Raises:
        ManifestError: they are somewhere where a local run cannot read them.
    """
    wanted = model.validation
    if wanted.uri is None:
        return []
    return ["--validation", str(local_file(wanted.uri, manifest, VALIDATION)), "--metric", wanted.metric_name]


def _weights(torch: TorchSource, manifest: Path) -> list[str]:
    if torch.weights is WeightsFrom.RANDOM:
        return ["--random-weights"]
    if torch.weights is WeightsFrom.FACTORY:
        return []
    return ["--weights", str(local_file(torch.weights_uri or "", manifest, "spec.model.source.torch.weightsUri"))]


def _input(item: ModelInput) -> str:
    return f"{item.name}:{item.datatype.value}:{'x'.join(map(str, item.shape))}"


def local_file(uri: str, manifest: Path, field: str) -> Path:
    """The file or directory that a URI names, relative to the working directory or to the manifest.

    Raises:
        ManifestError: it is not there, or lies elsewhere.
    """
    text = uri.removeprefix("file://")
    if "://" in text:
        raise ManifestError(f"{uri!r} is not on this machine; download it and write its path", field)
    for base in (Path(), manifest.parent):
        if (base / text).exists():
            return (base / text).resolve()
    raise ManifestError(f"{text!r} does not exist, neither here nor beside the manifest", field)


def source_key(model: Model, arguments: Sequence[str]) -> list[str]:
    """What an import depends on: its command, and the bytes of the files that it names."""
    at = list(arguments).index("--bundle")
    arguments = [*arguments[:at], *arguments[at + 2 :]]  # where the bundle goes does not change what is in it
    files = [Path(text) for text in arguments if os.path.sep in text and Path(text).is_file()]
    own = [model.source.torch.factory] if model.source.torch is not None else []
    for callable_name in [*own, *filter(None, [model.validation.function])]:
        files += _module_files(callable_name)
    return [*arguments, *(file_key(file) for file in files)]


def _module_files(callable_name: str) -> list[Path]:
    """The file of the user's own module: what is installed does not change between two runs, this does."""
    relative = Path(*callable_name.partition(":")[0].split("."))
    places = [Path(), *(Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry)]
    candidates = [place / end for place in places for end in (relative.with_suffix(".py"), relative / "__init__.py")]
    return [path for path in candidates if path.is_file()]
