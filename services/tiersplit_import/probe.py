"""Running a graph at several batch sizes to learn what depends on the batch, and how."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec

Array = npt.NDArray[Any]
BATCHES = (1, 2, 3)
_DIGITS_SEED = 20240229
_INTEGER_HIGH = {"bool": 2, "uint8": 256}
_DEFAULT_HIGH = 100
_FLOAT_ACCURACY = "1"


def session_options(threads: int = 1, optimise: bool = True) -> ort.SessionOptions:
    """Options for sessions of the import room: few threads, none of them spinning."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")  # as stages: see there
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", _FLOAT_ACCURACY)
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def open_session(model: bytes | str, options: ort.SessionOptions | None = None) -> ort.InferenceSession:
    """A session on the CPU.

    Raises:
        ModelError: ONNX Runtime does not take the model; the error says why.
    """
    try:
        return ort.InferenceSession(model, options or session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {_first_line(error)}", "model") from error


def run(session: ort.InferenceSession, names: Sequence[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
    """Run a session; errors become `ModelError`."""
    try:
        found: list[Array] = session.run(names, dict(feeds))
    except Exception as error:
        raise ModelError(f"the model fails when it runs: {_first_line(error)}", "model") from error
    return found


def random_inputs(inputs: Sequence[TensorSpec], batch: int, seed: int = 0) -> dict[str, Array]:
    """Inputs drawn with a fixed seed: standard normal numbers, bytes from 0 to 255, integers below 100."""
    generator = np.random.default_rng([_DIGITS_SEED, seed, batch])
    found: dict[str, Array] = {}
    for spec in inputs:
        shape = (spec.shape[0] * batch, *spec.shape[1:])
        if np.dtype(spec.dtype).kind == "f":
            found[spec.name] = generator.standard_normal(shape).astype(spec.dtype)
        else:
            high = _INTEGER_HIGH.get(spec.dtype, _DEFAULT_HIGH)
            found[spec.name] = generator.integers(0, high, shape).astype(spec.dtype)
    return found


def growing_axis(name: str, shapes: Sequence[Sequence[int]]) -> int:
    """The one axis of a tensor that grows with the batch, from its shapes at `BATCHES`.

    Raises:
        ModelError: its element count does not grow linearly.
    """
    first = shapes[0]
    if any(len(shape) != len(first) for shape in shapes):
        raise ModelError("its rank depends on the batch size", f"value {name}")
    axes = [axis for axis in range(len(first)) if len({shape[axis] for shape in shapes}) > 1]
    linear = len(axes) == 1 and all(
        shape[axes[0]] == batch * first[axes[0]] for batch, shape in zip(BATCHES, shapes, strict=True)
    )
    if not linear:
        raise ModelError(
            f"its shape is {[list(shape) for shape in shapes]} at batch sizes {list(BATCHES)}; each value must grow "
            "linearly with the batch size (keep the batch dimension dynamic, and samples apart)",
            f"value {name}",
        )
    return axes[0]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:400] if str(error).strip() else type(error).__name__
