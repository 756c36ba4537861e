"""Batch sizes as they are written on the command line."""

from tiersplit_core.errors import InputError

MAX_SIZES = 16


def parse_batches(text: str, most: int) -> tuple[int, ...]:
    """The batch sizes of `1,2,4`, each once, in ascending order.

    Args:
        text: what was written.
        most: the largest batch size that makes sense here.

    Raises:
        InputError: it is no such list, or longer than `MAX_SIZES`.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MAX_SIZES or not all(p.isascii() and p.isdecimal() and 1 <= int(p[:9]) <= most for p in parts):
        raise InputError(
            f"{text!r} is no list of batch sizes; write up to {MAX_SIZES} whole numbers from 1 to {most}, as in 1,2,4",
            "--batches",
        )
    return tuple(sorted({int(part) for part in parts}))
