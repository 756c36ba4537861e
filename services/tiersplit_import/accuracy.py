"""How often a model is right on validation data."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tiersplit_bundle import Bundle
from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_import.calibrate import MAX_SAMPLES, read_samples
from tiersplit_import.metrics import Answers, Comparison
from tiersplit_import.net import Array
from tiersplit_import.probe import open_session, run

_BATCH = 16

Forward = Callable[[Mapping[str, Array]], Answers]
"""The model's outputs of a batch, from its inputs by name."""


def accuracy(bundle: Bundle, path: Path, metric: Comparison) -> float:
    """How often a bundle's model is right.

    Args:
        bundle: complete; its outputs are what the metric compares.
        path: an .npz file with samples in `x` and the truth in `y`; at most `MAX_SAMPLES` of them are used.
        metric: how answers are compared with the truth.

    Returns:
        A fraction; of the user's own function whatever it returns.

    Raises:
        ModelError: the file or the model's outputs are something else.
    """
    return session_accuracy(open_session(str(bundle.model_path)), bundle.graph, path, metric)


def session_accuracy(session: ort.InferenceSession, graph: LayerGraph, path: Path, metric: Comparison) -> float:
    """As `accuracy`, of a session that computes what `graph` describes."""
    keys, tensors = zip(*graph.output_names, strict=True)

    def forward(feeds: Mapping[str, Array]) -> Answers:
        return dict(zip(keys, run(session, tensors, feeds), strict=True))

    return forward_accuracy(forward, graph, path, metric)


def forward_accuracy(forward: Forward, graph: LayerGraph, path: Path, metric: Comparison) -> float:
    """As `accuracy`, of anything that computes the answers of a batch."""
    samples = read_samples(path, graph.inputs, MAX_SAMPLES)
    count = len(next(iter(samples.values())))
    truth = _read_truth(path, count)
    with _about(path):
        tally = metric.start(truth)
        for start in range(0, count, _BATCH):
            part = slice(start, start + _BATCH)
            tally.add(forward({name: value[part] for name, value in samples.items()}), truth[part])
        return tally.value()


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """What is wrong and names no place is wrong with the truth in the file."""
    try:
        yield
    except ModelError as error:
        if error.path:
            raise
        raise ModelError(error.reason, str(path)) from error


def _read_truth(path: Path, count: int) -> Array:
    try:
        with np.load(path, allow_pickle=False) as archive:
            truth: Array = archive["y"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"expected the truth in `y` of the .npz file: {error}", str(path)) from error
    # Samples beyond the bound were not read: how many there are is not known.
    whole = truth.ndim > 0 and (len(truth) == count or len(truth) > count == MAX_SAMPLES)
    if not whole:
        reason = f"`y` has shape {truth.shape} for {count} samples; its first axis is of samples, as that of `x`"
        raise ModelError(reason, str(path))
    return truth[:count]
