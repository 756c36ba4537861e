"""The papers' networks as layer graphs, made beforehand so that reproducing a table needs no torch.

`benchmarks/papers/autosplit_graphs.py` makes them again.
"""

import gzip
import json
from importlib import resources
from typing import Any

from tiersplit_core.errors import InputError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.graph.serialization import graph_from_json
from tiersplit_core.quantization.json import statistics_from_json
from tiersplit_core.quantization.statistics import Statistics

_FOLDER = resources.files(__package__) / "graphs"
_PLAIN, _PACKED = ".json", ".json.gz"
_STATISTICS = ".statistics"


def stored_models() -> tuple[str, ...]:
    """The networks that there are, by name."""
    stems = {_stem(entry.name) for entry in _FOLDER.iterdir()}
    return tuple(sorted(stem for stem in stems if stem and not stem.endswith(_STATISTICS)))


def stored_graph(model: str) -> LayerGraph:
    """The layer graph of one of `stored_models`.

    Raises:
        InputError: there is no such network.
    """
    return graph_from_json(_read(model))


def stored_statistics(model: str) -> Statistics:
    """What calibration found out about one of `stored_models`, with random weights and drawn images.

    Raises:
        InputError: there is none for this network.
    """
    return statistics_from_json(_read(model + _STATISTICS))


def _stem(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in (_PACKED, _PLAIN) if name.endswith(suffix)), "")


def _read(stem: str) -> Any:
    for suffix in (_PLAIN, _PACKED):
        entry = _FOLDER / (stem + suffix)
        if entry.is_file():
            data = entry.read_bytes()
            return json.loads(gzip.decompress(data) if suffix == _PACKED else data)
    raise InputError(f"{stem!r} is not stored; there are {', '.join(stored_models())}", "model")
