"""Where the scaled digits network and its data are kept between runs, and how one knows that they still fit."""

from dataclasses import dataclass
from pathlib import Path

from examples import artefacts
from examples.digits import store as example

HERE = Path(__file__).resolve().parent
FOLDER = example.ROOT / ".tiersplit" / "data" / "scaled_digits"
WEIGHTS, TEST = FOLDER / "weights.safetensors", FOLDER / "test.npz"
CALIBRATION, VALIDATION = FOLDER / "calibration.npz", FOLDER / "validation.npz"
_RECORD = FOLDER / "training.json"
_SOURCES = (
    HERE / "scaled_digits.py",
    HERE / "scaled_training.py",
    example.HERE / "data.py",
    example.HERE / "model.py",
)


@dataclass(frozen=True, slots=True)
class Training:
    """What a training came to.

    Attributes:
        key: what it was made of; another key means that it has to be made again.
        accuracy: share of the test pictures that the network reads rightly.
        seconds: how long it took.
    """

    key: str
    accuracy: float
    seconds: float


def training_key() -> str:
    """A digest of everything that the trained weights depend on."""
    return artefacts.digest_of(_SOURCES, ("torch", "scikit-learn", "numpy", "scipy"))


def finished() -> Training | None:
    """The training on disk, or None where there is none or it was made of something else."""
    found = artefacts.read_record(Training, _RECORD)
    complete = all(path.exists() for path in (WEIGHTS, TEST, CALIBRATION, VALIDATION))
    return found if found and complete and found.key == training_key() else None


def write_record(training: Training) -> None:
    """Say that all other files are there: written last."""
    artefacts.write_record(_RECORD, training)
