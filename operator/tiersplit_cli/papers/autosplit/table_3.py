"""Table 3: the licence-plate recogniser (§5.5), beside that of examples/plates."""

from collections.abc import Iterator

from tiersplit_cli.papers.autosplit.trained import COORDINATES, Experiment, Rated, experiment
from tiersplit_cli.papers.measured import COMMAND
from tiersplit_cli.papers.rows import Row, mebibytes, percent
from tiersplit_core.profile.systolic import ORIGINAL_BITS

SMALL, LARGE = "plates", "plates_large"
_DROP = 0.01
_PRINTED = {
    "float-edge": ("Float (on edge)", "88.2%, does not fit, 295 MB", SMALL, "edge-only"),
    "float-cloud": ("Float (to cloud)", "88.2%, 970 ms, 0 MB", SMALL, "cloud16"),
    "tq8": ("TQ (8 bit)", "88.4%, 2840 ms, 44 MB", SMALL, "tq8"),
    "autosplit": ("AUTO-SPLIT", "88.3%, 630 ms, 15 MB", SMALL, ""),
    "autosplit-large": ("AUTO-SPLIT (large LSTM)", "94%, 650 ms, 15 MB", LARGE, ""),
}
"""The paper's words and values, the network that stands beside them, and the method where it is not AUTO-SPLIT."""
_WHY = {
    "tq8": COORDINATES,
    "edge-only": "this edge holds the floats and is faster than the uplink; the paper's camera is not",
    "": "the edge's layers have 2 to 8 bits; section 5.2 trained has the answers with floats on the edge, too",
}
"""By method."""
_NOTE = (
    "the paper's plates, weights and camera are proprietary: ours are a recogniser of the same kind, trained on plates "
    f"that it draws itself (examples/plates), and table 1's edge; accuracy measured by {COMMAND}; AUTO-SPLIT loses at "
    f"most {percent(_DROP)}"
)


def rows() -> list[Row]:
    """The paper's rows beside those of the example application."""
    return [row for model in (SMALL, LARGE) for row in rows_of(experiment(model))]


def rows_of(found: Experiment) -> Iterator[Row]:
    """The rows of one network."""
    for key, (what, paper, model, method) in _PRINTED.items():
        if model == found.model:
            rated = found.of_method(method) if method else found.fastest(_DROP)
            quantity = f"accuracy, latency, edge size: {what}"
            note = "; ".join(part for part in (_WHY.get(method, ""), _NOTE) if part)
            yield Row(f"autosplit/3/{key}", quantity, paper, _described(found, rated), False, note)


def _described(found: Experiment, rated: Rated) -> str:
    on = found.on
    head = (layer.name for layer, tier in zip(on.graph.layers, rated.tiers, strict=True) if tier == 0)
    own = sum(on.statistics[name].weight_bytes(rated.widths.get(name, (ORIGINAL_BITS,))[0]) for name in head)
    return f"{percent(rated.accuracy)}, {1e3 * rated.seconds:.3g} ms, {mebibytes(own)}"
