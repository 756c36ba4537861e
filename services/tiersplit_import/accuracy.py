"""How often a model is right on validation data."""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from tiersplit_bundle import Bundle
from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_import.calibrate import MAX_SAMPLES, read_samples
from tiersplit_import.net import Array
from tiersplit_import.probe import open_session, run

_BATCH = 16

Forward = Callable[[Mapping[str, Array]], Array]
"""Scores of shape (batch, classes) from a batch of inputs by name."""


def accuracy(bundle: Bundle, path: Path, best: int) -> float:
    """The share of samples whose label is among the `best` classes with the highest scores.

    Args:
        bundle: complete; its first output is scores of shape (batch, classes).
        path: an .npz file with samples in `x` and labels in `y`; at most `MAX_SAMPLES` of them are used.
        best: 1 for Top1, 5 for Top5.

    Raises:
        ModelError: the file or the model's output is something else.
    """
    return session_accuracy(open_session(str(bundle.model_path)), bundle.graph, path, best)


def session_accuracy(session: ort.InferenceSession, graph: LayerGraph, path: Path, best: int) -> float:
    """As `accuracy`, of a session that computes what `graph` describes."""
    output = [graph.output_names[0][1]]
    return forward_accuracy(lambda feeds: run(session, output, feeds)[0], graph, path, best)


def forward_accuracy(forward: Forward, graph: LayerGraph, path: Path, best: int) -> float:
    """As `accuracy`, of anything that computes the scores of a batch."""
    samples = read_samples(path, graph.inputs, MAX_SAMPLES)
    count = len(next(iter(samples.values())))
    labels = _labels(path, count)
    right = 0
    for start in range(0, count, _BATCH):
        part = slice(start, start + _BATCH)
        right += _right(forward({name: value[part] for name, value in samples.items()}), labels[part], best)
    return right / count


def _labels(path: Path, count: int) -> Array:
    try:
        with np.load(path, allow_pickle=False) as archive:
            labels: Array = archive["y"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"expected labels in `y` of the .npz file: {error}", str(path)) from error
    # Samples beyond the bound were not read: how many there are is not known.
    whole = labels.shape == (count,) or (labels.ndim == 1 and len(labels) > count == MAX_SAMPLES)
    if not whole or not np.issubdtype(labels.dtype, np.integer):
        raise ModelError(
            f"`y` has shape {labels.shape} of {labels.dtype}; write one whole number per sample", str(path)
        )
    return labels[:count]


def _right(scores: Array, labels: Sequence[Any] | Array, best: int) -> int:
    if scores.ndim != 2 or len(scores) != len(labels):
        raise ModelError(f"the first output has shape {scores.shape}; accuracy needs scores of (batch, classes)")
    highest = np.argsort(-scores, axis=1, kind="stable")[:, :best]
    return int(np.sum(highest == np.asarray(labels)[:, None]))
