"""A valid problem document and how to spoil it."""

import copy
from typing import Any


def document(**changes):
    """A problem of three layers over three tiers as parsed JSON."""
    seconds = {"edge": 0.004, "mdc": 0.001, "cloud": 0.0004}
    value = {
        "graph": {
            "input_bytes": 1000,
            "layers": [
                {"name": "a", "inputs": ["input"], "output_bytes": 500, "weight_bytes": 100, "seconds": dict(seconds)},
                {
                    "name": "b",
                    "inputs": ["a", "input"],
                    "output_bytes": 50,
                    "weight_bytes": 10,
                    "seconds": dict(seconds),
                },
                {"name": "c", "inputs": ["b"], "output_bytes": 5, "weight_bytes": 1, "seconds": dict(seconds)},
            ],
            "outputs": ["c"],
        },
        "tiers": [{"name": "edge", "memory_bytes": 10_000}, {"name": "mdc"}, {"name": "cloud"}],
        "links": [
            {"from": "edge", "to": "mdc", "bandwidth_bps": 1e7, "latency_s": 0.04},
            {"from": "mdc", "to": "cloud", "bandwidth_bps": 1e8, "latency_s": 0.05},
        ],
        "objective": "latency",
        "raw_input_tier": None,
        "result_tier": None,
    }
    value.update(changes)
    return value


def spoiled(path, value):
    """The document with the field at `path` (keys and positions) set to `value`; `...` deletes it."""
    made = copy.deepcopy(document())
    place = made
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


TWO_LAYERS: dict[str, Any] = {
    "graph": {
        "input_bytes": 1000,
        "layers": [
            {"name": "a", "inputs": ["input"], "output_bytes": 10, "weight_bytes": 8, "seconds": {"e": 0.1, "c": 0.01}},
            {"name": "b", "inputs": ["a"], "output_bytes": 1, "weight_bytes": 8, "seconds": {"e": 0.1, "c": 0.01}},
        ],
        "outputs": ["b"],
    },
    "tiers": [{"name": "e"}, {"name": "c"}],
    "links": [{"from": "e", "to": "c", "bandwidth_bps": 8000.0, "latency_s": 0.01}],
    "objective": "latency",
    "raw_input_tier": None,
    "result_tier": None,
}
"""A problem whose mistakes are made one at a time."""
