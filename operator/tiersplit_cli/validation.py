"""The validation data and the metric that commands measure accuracy with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiersplit_core.errors import InputError

if TYPE_CHECKING:
    from tiersplit_import.metrics import Comparison

DEFAULT_METRIC = "Top1"
_METRICS = "Top1 (the default), Top5, MeanAveragePrecision, MeanIoU, or MODULE:CALLABLE of your own"

ValidationOption = Annotated[
    Path | None, typer.Option("--validation", help=".npz file with samples in `x` and the truth in `y`.")
]
MetricOption = Annotated[
    str | None, typer.Option("--metric", help=f"How answers are compared with the truth: {_METRICS}.")
]


def validation_of(path: Path | None, metric: str | None) -> "tuple[Path, Comparison] | None":
    """The data and the metric of `--validation` and `--metric`; None where no data was given.

    Raises:
        InputError: there is no such file, or a metric without data.
        ModelError: there is no such metric.
    """
    if path is None:
        if metric is not None:
            raise InputError("give --validation FILE, whose samples are compared by it", "--metric")
        return None
    if not path.is_file():
        raise InputError(f"there is no file {path}", "--validation")
    from tiersplit_import.metrics import comparison  # noqa: PLC0415 - only who measures needs the import room

    return path, comparison(metric or DEFAULT_METRIC)
