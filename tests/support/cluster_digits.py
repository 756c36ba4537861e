"""The digits example on the test cluster: its bundle, its pictures, and its manifest."""

import copy
import io
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from examples.digits import store
from examples.digits.camera import KnownPictures
from tests.cluster.layout import cache
from tiersplit_bundle import Bundle
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "examples" / "digits" / "cluster.yaml"
IMPORT_TIMEOUT_S = 600
VALIDATION_PICTURES = 120
"""So many fit a ConfigMap."""


def pictures() -> KnownPictures:
    """Pictures that the network did not learn from, with the undivided network's answers; trains it the first time."""
    _trained()
    with np.load(store.folder() / store.TEST) as found:
        return KnownPictures(found["x"], found["y"], found["logits"])


def bundle() -> Bundle:
    """The trained network as a bundle; imported once for each training, and kept outside the work tree."""
    _trained()
    folder = cache() / f"digits-{store.training_key()[:12]}.bundle"
    if not _is_rated(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".npz").write_bytes(validation())
        command = [sys.executable, "-m", "tiersplit_cli", "import", "examples.digits.model:trained", "--name", "digits"]
        command += ["--input", "pixels:FP32:-1x3x96x96", "--wire-datatype", "UINT8", "--bundle", str(folder)]
        command += ["--calibration", str(store.folder() / store.CALIBRATION)]
        command += ["--validation", str(folder.with_suffix(".npz")), "--metric", "Top1"]
        _run(command)
    return Bundle.open(folder)


def _is_rated(folder: Path) -> bool:
    """Whether the bundle is there, can be measured at fewer bits, and knows how accurate the model is."""
    if not (folder / "index.json").exists():
        return False
    found = Bundle.open(folder)
    return bool(found.forms) and found.accuracies is not None


def push(host: str, reference: str) -> str:
    """Push the bundle to a registry that is reached at `host`; the digest of its manifest.

    Args:
        host: HOST:PORT from here.
        reference: `oci://HOST[:PORT]/REPOSITORY:TAG`, as manifests name it.
    """
    named = Reference.parse(reference)
    with Registry(Reference.parse(f"oci://{host}/{named.repository}"), RegistryAccess(plain_http=True)) as registry:
        known = registry.head(named.tag)
        return known.digest if known is not None else registry.push_bundle(bundle(), named.tag)


def manifest(name: str, reference: str, **changes: Any) -> dict[str, Any]:
    """The example's manifest under another name, served from a bundle; `changes` replace parts of its spec."""
    made: dict[str, Any] = copy.deepcopy(yaml.safe_load(MANIFEST.read_text()))
    made["metadata"]["name"] = name
    made["spec"]["model"] = {"source": {"bundle": reference}}
    made["spec"].update(copy.deepcopy(changes))
    return made


def with_tier(manifest: Mapping[str, Any], name: str, **changes: Any) -> dict[str, Any]:
    """The manifest with parts of one tier replaced; None takes a part away."""
    made = copy.deepcopy(dict(manifest))
    for tier in made["spec"]["tiers"]:
        if tier["name"] == name:
            tier.update(copy.deepcopy(changes))
            for gone in [key for key, value in tier.items() if value is None]:
                del tier[gone]
    return made


def validation(count: int = VALIDATION_PICTURES) -> bytes:
    """The first pictures of the validation data, with their digits, as an .npz file; the same bytes each time."""
    _trained()
    file = io.BytesIO()
    with np.load(store.folder() / store.VALIDATION) as found:
        np.savez_compressed(file, x=found["x"][:count], y=found["y"][:count])
    return file.getvalue()


def _trained() -> None:
    if store.finished() is None:
        _run([sys.executable, "-m", "examples.digits.train"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} … failed: {done.stderr[-2000:]}")
