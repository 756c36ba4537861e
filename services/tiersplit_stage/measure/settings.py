"""How a tier is measured, and the values that its runs read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_bundle.bundle import Bundle
from tiersplit_core.graph.ir import TensorSpec

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a tier is measured.

    Attributes:
        tier: the tier's name.
        threads: intra-op threads.
        batches: batch sizes.
        budget_s: seconds of counted runs per batch size.
        slowdown: factor of an emulated tier, at least 1.
        memory_bytes: what the tier may hold of a model; None: as much as is free.
        room_bytes: what a measuring process may take beyond the idle runtime before the container is at its limit; it
            gives up where it needs more. None: the container is not limited.
        timeout_s: seconds after which one measuring process is given up.
    """

    tier: str
    threads: int = 1
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    budget_s: float = 2.0
    slowdown: float = 1.0
    memory_bytes: int | None = None
    timeout_s: float = 900.0
    room_bytes: int | None = None


def write_inputs(bundle: Bundle, batch: int, folder: Path) -> dict[str, str]:
    """Write the golden inputs, repeated to `batch`, to a NumPy file each; what golden data lacks is drawn at random.

    Args:
        bundle: whose inputs.
        batch: samples.
        folder: an empty directory.

    Returns:
        The file of each tensor.
    """
    golden, _ = bundle.golden()
    return {
        spec.name: write_value(spec, golden, batch, folder / f"input-{i}.npy")
        for i, spec in enumerate(bundle.graph.inputs)
    }


def write_value(spec: TensorSpec, known: Mapping[str, NDArray[Any]], batch: int, path: Path) -> str:
    """Write one tensor at `batch`, from its sample in `known` or drawn at random; the file's name."""
    np.save(path, at_batch(_one_sample(spec, known), spec, batch))
    return str(path)


def at_batch(sample: NDArray[Any], spec: TensorSpec, batch: int) -> NDArray[Any]:
    """`sample` repeated along its batch axis."""
    return np.ascontiguousarray(np.concatenate([sample] * batch, axis=spec.batch_axis))


def _one_sample(spec: TensorSpec, golden: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    found = golden.get(spec.name)
    if found is not None and found.shape == spec.shape:
        return found
    generator = np.random.default_rng(0)
    if np.issubdtype(np.dtype(spec.dtype), np.floating):
        return generator.standard_normal(spec.shape).astype(spec.dtype)
    return np.zeros(spec.shape, spec.dtype)
