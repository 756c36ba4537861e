"""Table 3: the licence-plate recogniser (§5.5)."""

from tiersplit_cli.papers.rows import Row

_PRINTED = {
    "float-edge": ("Float (on edge)", "88.2%, does not fit, 295 MB"),
    "float-cloud": ("Float (to cloud)", "88.2%, 970 ms, 0 MB"),
    "tq8": ("TQ (8 bit)", "88.4%, 2840 ms, 44 MB"),
    "autosplit": ("AUTO-SPLIT", "88.3%, 630 ms, 15 MB"),
    "autosplit-large": ("AUTO-SPLIT (large LSTM)", "94%, 650 ms, 15 MB"),
}
_NOTE = (
    "the paper's plates, weights and camera are proprietary; a recogniser of the same kind, trained on plates that it "
    "draws itself, is examples/plates, whose README says how to run it"
)


def rows() -> list[Row]:
    """The paper's rows; the example application measures its own."""
    return [
        Row(f"autosplit/3/{key}", f"accuracy, latency, edge size: {what}", paper, "see examples/plates", False, _NOTE)
        for key, (what, paper) in _PRINTED.items()
    ]
