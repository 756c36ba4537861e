"""Trains the examples' networks and measures the accuracies that `tiersplit reproduce autosplit` reads.

`python -m benchmarks.papers.autosplit_accuracies [NAME …]`

Each network is trained (once, see examples/digits and examples/plates), imported with its calibration data, and rated
on validation data that training never saw, at all bit widths that the rows of the experiment ask for.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.papers.autosplit_graphs import FOLDER, write
from examples.digits import store as digits_store
from examples.digits.train import ensure_trained as ensure_digits
from examples.plates import store as plates_store
from examples.plates.scene import HEIGHT, WIDTH
from examples.plates.train import ensure_trained as ensure_plates
from tiersplit_bundle import Bundle
from tiersplit_bundle.layout import canonical_json
from tiersplit_cli.papers.autosplit.table_3 import rows_of as rows_of_table_3
from tiersplit_cli.papers.autosplit.trained import Experiment, rows_of
from tiersplit_cli.papers.measured import Measured, key_of, measured_to_json
from tiersplit_cli.papers.measured import Widths as WidthsByLayer
from tiersplit_core.graph.serialization import graph_to_json
from tiersplit_core.quantization.json import statistics_to_json
from tiersplit_import.evaluation import quantised_accuracy, statistics_of
from tiersplit_import.metrics import comparison
from tiersplit_import.options import ImportOptions, parse_input
from tiersplit_import.pipeline import import_model
from tiersplit_import.quantise import Widths

TRAINED = FOLDER.parent / "trained"


@dataclass(frozen=True, slots=True)
class Example:
    """A network of the examples.

    Attributes:
        factory: what makes it, trained.
        given: its input, as `tiersplit import --input` has it.
        folder: where its data lie.
        train: trains it where that was not done yet.
        metric: how its answers are compared with the truth, as `tiersplit import --metric` has it.
    """

    factory: str
    given: str
    folder: Path
    train: Callable[[], object]
    metric: str


PLATES = Example(
    factory="examples.plates.model:plate_reader",
    given=f"frame:FP32:-1x3x{HEIGHT}x{WIDTH}",
    folder=plates_store.folder(),
    train=lambda: ensure_plates(say),
    metric="examples.plates.rating:share_read",
)
EXAMPLES: Mapping[str, Example] = {
    "digits": Example(
        factory="examples.digits.model:trained",
        given="pixels:FP32:-1x3x96x96",
        folder=digits_store.folder(),
        train=lambda: ensure_digits(lambda epoch: say(f"epoch {epoch.number} of {epoch.total}")),
        metric="Top1",
    ),
    "plates": PLATES,
    "plates_large": Example(f"{PLATES.factory}_large", PLATES.given, PLATES.folder, PLATES.train, PLATES.metric),
}


@dataclass
class Rating:
    """Measures accuracies of one network, each once."""

    bundle: Bundle
    example: Example
    known: dict[str, float] = field(default_factory=dict)

    @property
    def validation(self) -> Path:
        """The validation data."""
        return self.example.folder / "validation.npz"

    def accuracy(self, widths: WidthsByLayer) -> float:
        """The share of the validation data that is answered rightly at these bit widths."""
        key = key_of(widths)
        if key not in self.known:
            own = {name: Widths(*bits) for name, bits in widths.items()}
            found = quantised_accuracy(self.bundle, own, self.validation, comparison(self.example.metric))
            self.known[key] = found
            say(f"{len(self.known)}: {found:.2%}")
        return self.known[key]


def main() -> None:
    """Train, import, rate and store each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(EXAMPLES)}; all where none is named")
    TRAINED.mkdir(exist_ok=True)
    for name in parser.parse_args().names or EXAMPLES:
        say(name)
        with tempfile.TemporaryDirectory() as work:
            store(name, imported(EXAMPLES[name], Path(work) / "bundle"))


def imported(example: Example, path: Path) -> Bundle:
    """The trained network's bundle with its statistics."""
    example.train()
    calibration = example.folder / "calibration.npz"
    options = ImportOptions(inputs=(parse_input(example.given),), wire_uint8=True, calibration=calibration)
    import_model(example.factory, path, options, say)
    return Bundle.open(path)


def store(name: str, bundle: Bundle) -> None:
    """Write a network's graph and statistics, then the accuracies that rows made of both ask for."""
    statistics = statistics_to_json(statistics_of(bundle))
    write(name, canonical_json(graph_to_json(bundle.graph)), TRAINED)
    write(f"{name}.statistics", canonical_json(statistics), TRAINED)
    rating = Rating(bundle, EXAMPLES[name])
    experiment = Experiment(name, rating.accuracy)
    for row in (*rows_of(experiment, ""), *rows_of_table_3(experiment)):
        say(f"{row.quantity}: {row.ours}")
    with np.load(rating.validation) as data:
        samples = len(data["y"])
    found = Measured(name, EXAMPLES[name].metric, samples, experiment.whole, rating.known)
    write(f"{name}.accuracies", canonical_json(measured_to_json(found)), TRAINED)


def say(text: str) -> None:
    """Progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
