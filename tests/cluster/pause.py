"""The image of a pod's sandbox, made from nothing but the pause program."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from tests.cluster.layout import PAUSE_IMAGE, Node, state
from tests.cluster.network import inside
from tests.cluster.programs import binary

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def load(node: Node) -> None:
    """Give the node's containerd the image, idempotently."""
    if PAUSE_IMAGE not in inside(node, "ctr", "--namespace=k8s.io", "images", "list", "--quiet").split():
        inside(node, "ctr", "--namespace=k8s.io", "images", "import", str(archive()))


def archive() -> Path:
    """The image as an archive of the kind that `docker save` writes."""
    path = state() / "pause.tar"
    if not path.exists():
        unfinished = path.with_name(f"pause-{id(path)}.tmp")
        unfinished.write_bytes(_image())
        unfinished.replace(path)
    return path


def _image() -> bytes:
    layer = _tar({"pause": (binary("pause").read_bytes(), 0o755)})
    machine = platform.machine()
    configuration = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    files = {"config.json": configuration, "manifest.json": manifest}
    return _tar({"layer.tar": (layer, 0o644)} | {name: (json.dumps(of).encode(), 0o644) for name, of in files.items()})


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive_:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive_.addfile(entry, io.BytesIO(content))
    return written.getvalue()
