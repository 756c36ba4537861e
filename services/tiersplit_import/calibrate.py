"""Golden pairs, and what the values of a model look like on real or seeded data."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import LayerGraph, TensorSpec
from tiersplit_import.net import Array
from tiersplit_import.probe import random_inputs, run
from tiersplit_import.proto import session_of, value_info

MAX_SAMPLES = 4096
_MAX_FILE_BYTES = 4 * 2**30
_HELD_BYTES = 128 * 2**20
_BATCH = 8


@dataclass
class _Moments:
    """Sums over everything that was seen of one value."""

    count: int = 0
    low: float = np.inf
    high: float = -np.inf
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: Array) -> None:
        """See one more array."""
        wide = value.astype(np.float64)
        self.count += wide.size
        self.low, self.high = min(self.low, float(wide.min())), max(self.high, float(wide.max()))
        self.total += float(wide.sum())
        self.squares += float(np.square(wide).sum())

    def to_json(self) -> dict[str, float]:
        """Minimum, maximum, mean and standard deviation."""
        mean = self.total / self.count
        deviation = max(self.squares / self.count - mean * mean, 0.0) ** 0.5
        return {"min": self.low, "max": self.high, "mean": mean, "std": deviation}


def read_samples(path: Path, inputs: Sequence[TensorSpec], count: int) -> dict[str, Array]:
    """Up to `count` samples of each input from an .npz file.

    Args:
        path: the file; it has `x` where the model has one input, else an array per input's name.
        inputs: what the model takes.
        count: how many samples are read at most.

    Raises:
        ModelError: the file cannot be read, or its arrays are not what the model takes.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ModelError(f"larger than {_MAX_FILE_BYTES} bytes; give fewer samples", str(path))
        with np.load(path, allow_pickle=False) as archive:
            keys = ["x"] if len(inputs) == 1 and "x" in archive else [spec.name for spec in inputs]
            arrays = {spec.name: archive[key] for spec, key in zip(inputs, keys, strict=True)}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"expected an .npz file with the samples in `x`: {error}", str(path)) from error
    return {spec.name: _samples(arrays[spec.name], spec, min(count, MAX_SAMPLES), path) for spec in inputs}


def _samples(value: Array, spec: TensorSpec, count: int, path: Path) -> Array:
    if value.ndim != len(spec.shape) or value.shape[1:] != spec.shape[1:] or not len(value):
        raise ModelError(
            f"its samples have shape {value.shape}, the input takes (n, {spec.shape[1:]})", f"{path}: {spec.name}"
        )
    if value.dtype.kind != np.dtype(spec.dtype).kind:
        raise ModelError(f"its samples are {value.dtype}, the input takes {spec.dtype}", f"{path}: {spec.name}")
    return value[:count].astype(spec.dtype)


def golden_inputs(graph: LayerGraph, samples: Mapping[str, Array] | None, seed: int) -> dict[str, Array]:
    """The inputs of the golden pair: the first sample, or a seeded one."""
    if samples is None:
        return random_inputs(graph.inputs, 1, seed)
    return {name: np.ascontiguousarray(value[:1]) for name, value in samples.items()}


def statistics(
    model: ModelProto, constants: Mapping[str, Array], graph: LayerGraph, samples: Mapping[str, Array]
) -> dict[str, Any]:
    """Minimum, maximum, mean and standard deviation of every value over `samples`.

    Args:
        model: the canonical model.
        constants: its large constants by name.
        graph: its layer graph.
        samples: per input, samples along the first axis.

    Returns:
        `{"samples": n, "values": {tensor name: {min, max, mean, std}}}`.
    """
    moments = {spec.name: _Moments() for layer in graph.layers for spec in layer.tensors if spec.dtype != "bool"}
    total = len(next(iter(samples.values())))
    batch = min(_BATCH, total)
    for specs in _portions(graph, moments, batch):
        session = _session(model, constants, specs)
        for start in range(0, total, batch):
            feeds = {name: value[start : start + batch] for name, value in samples.items()}
            for spec, value in zip(specs, run(session, None, feeds), strict=True):
                moments[spec.name].add(value)
    return {"samples": total, "values": {name: found.to_json() for name, found in moments.items()}}


def _portions(graph: LayerGraph, wanted: Mapping[str, _Moments], batch: int) -> Iterator[list[TensorSpec]]:
    """Values in portions that fit into memory together."""
    portion: list[TensorSpec] = []
    for spec in (spec for layer in graph.layers for spec in layer.tensors if spec.name in wanted):
        if portion and sum(held.size_bytes for held in (*portion, spec)) * batch > _HELD_BYTES:
            yield portion
            portion = []
        portion.append(spec)
    if portion:
        yield portion


def _session(model: ModelProto, constants: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Any:
    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(value_info(spec) for spec in specs)
    return session_of(probe, constants)
