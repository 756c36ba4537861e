"""Where the trained network and its data are kept between runs, and how one knows that they still fit."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
    parts = [(HERE / name).read_text() for name in _SOURCES]
    parts += [f"{package}=={version(package)}" for package in ("torch", "scikit-learn", "numpy", "scipy")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def finished() -> Training | None:
    """The training on disk, or None where there is none or it was made of something else."""
    try:
        found = Training(**json.loads((folder() / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    complete = all((folder() / name).exists() for name in _FILES)
    return found if complete and found.key == training_key() else None


def write_record(training: Training) -> None:
    """Say that all other files are there: written last."""
    write_atomically(folder() / RECORD, json.dumps(asdict(training), indent=2).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as one compressed .npz file, atomically."""
    import io  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())
