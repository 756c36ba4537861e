"""Cutting a bundle in ways that a plan could, and running the pieces one after another."""

import random
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort

from tiersplit_bundle import Bundle, BundleSegment
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.planning.plan import Plan


def random_plans(graph: LayerGraph, tiers: int, count: int, seed: int) -> list[Plan]:
    """Placements in which data flows only forwards: any chain of down-sets, not prefixes of the order alone."""
    generator = random.Random(seed)
    plans = []
    for _ in range(count):
        pull = generator.choice([0.05, 0.2, 0.5])
        place: dict[str, int] = {}
        for layer in graph.layers:
            least = max((place[name] for name in layer.inputs if name in place), default=0)
            step = generator.random() < pull
            place[layer.name] = min(tiers - 1, least + step * generator.randint(1, tiers - 1))
        plans.append(Plan({name: f"tier{tier}" for name, tier in place.items()}))
    return plans


def open_session(path: object) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Pieces:
    """Sessions of a bundle's segments, run in order; each sees only the tensors that it lists."""

    def __init__(self, bundle: Bundle, segments: Sequence[BundleSegment]) -> None:
        self._graph = bundle.graph
        self._pieces = [(segment, open_session(bundle.segment_path(segment))) for segment in segments]

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The model's result by the caller's keys."""
        held = dict(feeds)
        for segment, session in self._pieces:
            found = session.run(list(segment.outputs), {name: held[name] for name in segment.inputs})
            held.update(zip(segment.outputs, found, strict=True))
        return {key: held[tensor] for key, tensor in self._graph.output_names}


def ordered(bundle: Bundle, ids: Sequence[str]) -> list[BundleSegment]:
    """The bundle's segments of these ids, in this order."""
    known = {segment.id: segment for segment in bundle.segments}
    return [known[name] for name in ids]


def assert_close(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], relative: float = 1e-4) -> None:
    """Both are finite, not all zeros, and equal up to `relative` of the largest value."""
    assert got.keys() == wanted.keys()
    for key, expected in wanted.items():
        assert got[key].shape == expected.shape and got[key].dtype == expected.dtype
        scale = float(np.abs(expected).max())
        assert np.isfinite(got[key]).all() and scale > 0
        assert float(np.abs(got[key] - expected).max()) <= relative * scale, key
