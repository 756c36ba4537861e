"""Bundles of the tiny networks: each is imported once per test process, and copied for whoever changes it."""

import atexit
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support import models
from tiersplit_import.options import ImportOptions, parse_input
from tiersplit_import.pipeline import Imported, import_model

_made: dict[tuple[str, tuple[tuple[str, Any], ...]], Imported] = {}
_home: list[Path] = []


def fresh_import(name: str, path: Path, **options: Any) -> Imported:
    """Import a tiny network, whatever was imported before."""
    inputs = tuple(parse_input(text) for text in models.INPUTS[name])
    return import_model(f"tests.support.models:{name}", path, ImportOptions(inputs=inputs, **options))


def import_copy(name: str, path: Path, **options: Any) -> Imported:
    """A bundle of a tiny network at `path`, the caller's own."""
    key = (name, tuple(sorted(options.items())))
    if key not in _made:
        _made[key] = fresh_import(name, _directory() / str(len(_made)), **options)
    shutil.copytree(_made[key].path, path)
    return replace(_made[key], path=path)


def _directory() -> Path:
    if not _home:
        _home.append(Path(tempfile.mkdtemp(prefix="tiersplit-imports-")))
        atexit.register(shutil.rmtree, _home[0], ignore_errors=True)
    return _home[0]
