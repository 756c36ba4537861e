"""Reads a saved `torch.export` program without running code that the file brings along.

`torch.export.load` unpickles: objects of users' own classes always, tensors and example inputs where a plain read
fails. A model file is data from somewhere else, so neither is allowed here.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.export.pt2_archive.constants import CUSTOM_OBJ_FILENAME_PREFIX, OPAQUE_OBJ_FILENAME_PREFIX

from tiersplit_core.errors import ModelError

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def load_program(path: Path) -> torch.export.ExportedProgram:
    """The exported program at `path`.

    Raises:
        ModelError: the file is no such program, or carries pickled objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"is no exported program: {error}", str(path)) from error
    pickled = [name for name in names if CUSTOM_OBJ_FILENAME_PREFIX in name or OPAQUE_OBJ_FILENAME_PREFIX in name]
    if pickled:
        reason = "holds pickled objects, which can run code when they are read; export a model of tensors alone"
        raise ModelError(f"{reason} ({pickled[0]})", str(path))
    try:
        with _tensors_only():
            return torch.export.load(path)
    except Exception as error:
        raise ModelError(f"is no exported program that this torch reads: {str(error)[:300]}", str(path)) from error


@contextmanager
def _tensors_only() -> Iterator[None]:
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before
