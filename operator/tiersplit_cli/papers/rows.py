"""One row of a reproduced table, and how its numbers are written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity.

    Attributes:
        id: paper/table/row.
        quantity: what is compared.
        paper: the paper's value.
        ours: the value found here.
        comparable: false where weights or data are missing.
        note: the reason, or what one should know.
    """

    id: str
    quantity: str
    paper: str
    ours: str
    comparable: bool = True
    note: str = ""


def percent(part: float) -> str:
    """A share of 1 in percent."""
    # A negative zero, which is what rounding leaves of a last bit, would read as a loss.
    return f"{round(100 * part, 1) + 0.0:g}%"


def mebibytes(count: float) -> str:
    """Bytes in MiB, as the tables write them."""
    return f"{count / 2**20:.3g} MiB"
