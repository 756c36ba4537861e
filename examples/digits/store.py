"""Where the trained network and its data are kept between runs, and how one knows that they still fit."""

from dataclasses import dataclass
from pathlib import Path

from examples import artefacts
from examples.artefacts import save_arrays, write_atomically

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WEIGHTS = "weights.safetensors"
CALIBRATION = "calibration.npz"
VALIDATION = "validation.npz"
TEST = "test.npz"
RECORD = "training.json"
_FILES = (WEIGHTS, CALIBRATION, VALIDATION, TEST)
_SOURCES = ("data.py", "model.py", "train.py")


@dataclass(frozen=True, slots=True)
class Training:
    """What a training came to.

    Attributes:
        key: what it was made of; another key means that it has to be made again.
        accuracy: share of the test pictures that the network reads rightly.
        pictures: how many test pictures there are.
        parameters: learnt numbers.
        seconds: how long it took.
    """

    key: str
    accuracy: float
    pictures: int
    parameters: int
    seconds: float


def folder() -> Path:
    """The folder of the artefacts: `.tiersplit/data/digits` in the repository."""
    return ROOT / ".tiersplit" / "data" / "digits"


def training_key() -> str:
    """A digest of everything that the trained weights depend on."""
    packages = ("torch", "scikit-learn", "numpy", "scipy")
    return artefacts.digest_of((HERE / name for name in _SOURCES), packages)


def finished() -> Training | None:
    """The training on disk, or None where there is none or it was made of something else."""
    found = artefacts.read_record(Training, folder() / RECORD)
    complete = all((folder() / name).exists() for name in _FILES)
    return found if complete and found and found.key == training_key() else None


def write_record(training: Training) -> None:
    """Say that all other files are there: written last."""
    artefacts.write_record(folder() / RECORD, training)


__all__ = [
    "CALIBRATION",
    "HERE",
    "RECORD",
    "ROOT",
    "TEST",
    "VALIDATION",
    "WEIGHTS",
    "Training",
    "finished",
    "folder",
    "save_arrays",
    "training_key",
    "write_atomically",
    "write_record",
]
