"""Where the trained networks and their data are kept between runs, and how one knows that they still fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from examples import artefacts
from examples.artefacts import save_arrays, write_atomically

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAMES = ("small", "large")
"""The two readers."""
CALIBRATION = "calibration.npz"
VALIDATION = "validation.npz"
RECORD = "training.json"
_SOURCES = ("plate.py", "scene.py", "model.py", "reading.py", "train.py")


@dataclass(frozen=True, slots=True)
class Training:
    """What a training came to.

    Attributes:
        key: what it was made of; another key means that it has to be made again.
        seconds: how long it took.
        accuracy: by reader, the share of test frames read rightly.
    """

    key: str
    seconds: float
    accuracy: Mapping[str, float]


def folder() -> Path:
    """The folder of the artefacts: `.tiersplit/data/plates` in the repository."""
    return ROOT / ".tiersplit" / "data" / "plates"


def weights_file(name: str) -> Path:
    """The trained weights of a reader and the detector in front of it."""
    return folder() / f"{name}.safetensors"


def training_key() -> str:
    """A digest of everything that the trained weights and what they read depend on."""
    packages = ("torch", "numpy", "pillow", "matplotlib")
    return artefacts.digest_of((HERE / name for name in _SOURCES), packages)


def finished() -> Training | None:
    """The training on disk, or None where there is none or it was made of something else."""
    found = artefacts.read_record(Training, folder() / RECORD)
    files = (folder() / CALIBRATION, folder() / VALIDATION, *map(weights_file, NAMES))
    return found if found and found.key == training_key() and all(file.exists() for file in files) else None


def write_record(training: Training) -> None:
    """Say that all other files are there: written last."""
    artefacts.write_record(folder() / RECORD, training)


__all__ = [
    "CALIBRATION",
    "HERE",
    "NAMES",
    "RECORD",
    "ROOT",
    "VALIDATION",
    "Training",
    "finished",
    "folder",
    "save_arrays",
    "training_key",
    "weights_file",
    "write_atomically",
    "write_record",
]
