"""Golden pairs, and what the values of a model look like on real or seeded data."""

import math
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorShapeProto, ValueInfoProto, helper
from safetensors.numpy import save

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import LayerGraph, TensorSpec
from tiersplit_core.quantization.histogram import Histogram
from tiersplit_import.net import Array
from tiersplit_import.probe import random_inputs, run
from tiersplit_import.proto import session_of

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


def golden_pair(inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> bytes:
    """A golden pair as the safetensors file that a bundle holds: inputs by name, outputs by the caller's keys."""
    pair = {f"input/{key}": value for key, value in inputs.items()}
    pair |= {f"output/{key}": value for key, value in outputs.items()}
    return save({key: np.ascontiguousarray(value) for key, value in sorted(pair.items())})


@dataclass
class Seen:
    """Everything that calibration keeps of one tensor.

    Attributes:
        moments: minimum, maximum and sums.
        histogram: the distribution.
        channel_axis: of the means that are wanted; None: none are.
        channels: sums over everything but the channels; a number for all before anything was seen.
        rows: how many numbers went into each sum.
        samples: how many samples were seen.
    """

    moments: _Moments = field(default_factory=_Moments)
    histogram: Histogram = field(default_factory=Histogram)
    channel_axis: int | None = None
    channels: Array = field(default_factory=lambda: np.zeros(1))
    rows: int = 0
    samples: int = 0

    def add(self, value: Array, samples: int) -> None:
        """See one more array, computed from so many samples."""
        self.samples += samples
        if not value.size:  # such as detections in an empty picture
            return
        self.moments.add(value)
        if value.dtype.kind != "f":
            return
        self.histogram.add(value)
        if self.channel_axis is not None:
            others = tuple(axis for axis in range(value.ndim) if axis != self.channel_axis % value.ndim)
            sums = value.sum(axis=others, dtype=np.float64)
            self.channels = self.channels + sums
            self.rows += value.size // sums.size

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of each channel, to six digits."""
        return tuple(float(f"{mean:.6g}") for mean in self.channels / max(self.rows, 1))


def statistics(graph: LayerGraph, seen: Mapping[str, Seen]) -> dict[str, Any]:
    """Minimum, maximum, mean and standard deviation of every value.

    Returns:
        `{"samples": n, "values": {tensor name: {min, max, mean, std}}}`.
    """
    specs = [spec for layer in graph.layers for spec in layer.tensors]
    names = [spec.name for spec in specs if spec.name in seen and seen[spec.name].moments.count]
    samples = max((found.samples for found in seen.values()), default=0)
    return {"samples": samples, "values": {name: seen[name].moments.to_json() for name in names}}


def gather(
    model: ModelProto,
    constants: Mapping[str, Array],
    wanted: Mapping[str, int | None],
    samples: Mapping[str, Array],
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Seen]:
    """What is seen of a model's values, in memory that does not grow with the number of samples.

    Args:
        model: the canonical model, with the types of its values.
        constants: its large constants by name.
        wanted: tensors, with the axis of the channels whose means are wanted; None: of none.
        samples: per input, samples along the first axis.
        report: is told how far it is.
    """
    found = {name: Seen(channel_axis=axis) for name, axis in wanted.items()}
    for name in samples.keys() & wanted.keys():
        for batch in _batches({name: samples[name]}):
            found[name].add(batch[name], len(batch[name]))
    portions = list(_portions(_values(model, wanted.keys()), min(_BATCH, _count(samples))))
    for i, portion in enumerate(portions):
        session = _session(model, constants, portion)
        names = [info.name for info in portion]
        for k, feeds in enumerate(_batches(samples)):
            report(f"calibrating: values {i + 1} of {len(portions)}, sample {k * _BATCH} of {_count(samples)}")
            for name, value in zip(names, run(session, names, feeds), strict=True):
                found[name].add(value, _count(feeds))
    return found


def _count(samples: Mapping[str, Array]) -> int:
    return len(next(iter(samples.values())))


def _batches(samples: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    for start in range(0, _count(samples), _BATCH):
        yield {name: value[start : start + _BATCH] for name, value in samples.items()}


def _values(model: ModelProto, wanted: Collection[str]) -> list[ValueInfoProto]:
    """The computed ones of `wanted`, in running order."""
    described = {info.name: info for info in (*model.graph.output, *model.graph.value_info)}
    return [described[name] for node in model.graph.node for name in node.output if name in wanted]


def _dtype(info: ValueInfoProto) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))


def _bytes(info: ValueInfoProto) -> int:
    """Bytes per sample; the one dimension without a number is a multiple of the batch."""
    return math.prod(map(_per_sample, info.type.tensor_type.shape.dim)) * _dtype(info).itemsize


def _per_sample(dim: TensorShapeProto.Dimension) -> int:
    multiple, times, _ = dim.dim_param.partition("*")
    return int(multiple) if times else dim.dim_value or 1


def _portions(values: Iterable[ValueInfoProto], batch: int) -> Iterator[list[ValueInfoProto]]:
    """Values in portions that fit into memory together."""
    portion: list[ValueInfoProto] = []
    for info in values:
        if portion and sum(map(_bytes, (*portion, info))) * batch > _HELD_BYTES:
            yield portion
            portion = []
        portion.append(info)
    if portion:
        yield portion


def _session(model: ModelProto, constants: Mapping[str, Array], values: Sequence[ValueInfoProto]) -> Any:
    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(values)
    return session_of(probe, constants)
