"""Images with one static program and nothing else: the pods' sandbox, and the probe of the cluster's own tests."""

import hashlib
import io
import json
import platform
import tarfile

from tests.cluster.layout import Node
from tests.cluster.network import inside
from tests.cluster.programs import binary

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def load(node: Node, reference: str, program: str) -> None:
    """Give the node's containerd an image whose entry point is `/<program>`, idempotently."""
    if reference in inside(node, "ctr", "--namespace=k8s.io", "images", "list", "--quiet").split():
        return
    archive = node.folder / f"{program}.tar"
    archive.write_bytes(_image(reference, program))
    inside(node, "ctr", "--namespace=k8s.io", "images", "import", str(archive))
    archive.unlink()


def _image(reference: str, program: str) -> bytes:
    """An archive of the kind that `docker save` writes."""
    layer = _tar({program: (binary(program).read_bytes(), 0o755)})
    machine = platform.machine()
    configuration = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program}"], "User": "65535:65535", "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    files = {"config.json": configuration, "manifest.json": manifest}
    return _tar({"layer.tar": (layer, 0o644)} | {name: (json.dumps(of).encode(), 0o644) for name, of in files.items()})


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()
