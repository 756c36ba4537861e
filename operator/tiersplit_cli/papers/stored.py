"""Networks as layer graphs with statistics, made beforehand so that reproducing a table needs no torch.

`benchmarks/papers/autosplit_graphs.py` makes the papers' networks again, which nobody trained, and
`benchmarks/papers/autosplit_accuracies.py` those that the examples train, with their accuracies.
"""

import gzip
import json
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import product
from typing import Any

from tiersplit_cli.papers.measured import Measured, measured_from_json
from tiersplit_core.errors import InputError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.graph.serialization import graph_from_json
from tiersplit_core.quantization.json import statistics_from_json
from tiersplit_core.quantization.statistics import Statistics

_UNTRAINED, _TRAINED = (resources.files(__package__) / name for name in ("graphs", "trained"))
_PLAIN, _PACKED = ".json", ".json.gz"
_STATISTICS, _ACCURACIES = ".statistics", ".accuracies"


def stored_models() -> tuple[str, ...]:
    """The papers' networks that there are, by name."""
    return _models(_UNTRAINED)


def trained_models() -> tuple[str, ...]:
    """The networks whose accuracy was measured, by name."""
    return _models(_TRAINED)


def stored_graph(model: str) -> LayerGraph:
    """The layer graph of one of `stored_models` or `trained_models`.

    Raises:
        InputError: there is no such network.
    """
    return graph_from_json(_read(model))


def stored_statistics(model: str) -> Statistics:
    """What calibration found out about a stored network.

    That of `stored_models` has random weights and saw drawn images, that of `trained_models` its own data.

    Raises:
        InputError: there is none for this network.
    """
    return statistics_from_json(_read(model + _STATISTICS))


def stored_accuracies(model: str) -> Measured:
    """How often one of `trained_models` is right at the bit widths that were measured.

    Raises:
        InputError: there is no such network.
    """
    return measured_from_json(model, _read(model + _ACCURACIES))


def _models(folder: Traversable) -> tuple[str, ...]:
    stems = {_stem(entry.name) for entry in folder.iterdir()}
    return tuple(sorted(stem for stem in stems if stem and "." not in stem))


def _stem(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in (_PACKED, _PLAIN) if name.endswith(suffix)), "")


def _read(stem: str) -> Any:
    for folder, suffix in product((_UNTRAINED, _TRAINED), (_PLAIN, _PACKED)):
        entry = folder / (stem + suffix)
        if entry.is_file():
            data = entry.read_bytes()
            return json.loads(gzip.decompress(data) if suffix == _PACKED else data)
    known = ", ".join((*stored_models(), *trained_models()))
    raise InputError(f"{stem!r} is not stored; there are {known}", "model")
