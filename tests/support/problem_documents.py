"""A valid problem document and how to spoil it."""

import copy


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
