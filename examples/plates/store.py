"""Where the trained networks and their data are kept between runs, and how one knows that they still fit."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAMES = ("small", "large")
"""The two readers."""
CALIBRATION = "calibration.npz"
RECORD = "training.json"
_SOURCES = ("plate.py", "scene.py", "model.py", "train.py")


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
    """A digest of everything that the trained weights depend on."""
    parts = [(HERE / name).read_text() for name in _SOURCES]
    parts += [f"{package}=={version(package)}" for package in ("torch", "numpy", "pillow", "matplotlib")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def finished() -> Training | None:
    """The training on disk, or None where there is none or it was made of something else."""
    try:
        found = Training(**json.loads((folder() / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    files = (folder() / CALIBRATION, *map(weights_file, NAMES))
    return found if found.key == training_key() and all(file.exists() for file in files) else None


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
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())
