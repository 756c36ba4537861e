"""Small bundles to push and pull, and a client that is quick to give up."""

from pathlib import Path

from tiersplit_bundle import Blob, Bundle, BundleWriter, media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.layout import canonical_json
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry

PLAIN = RegistryAccess(plain_http=True, timeout_s=30, attempts=4)
BIG = bytes(range(256)) * 8192  # 2 MiB: several pieces


def connect(host, repository="models/m", tag="latest", access=PLAIN):
    return Registry(Reference(host, repository, tag), access)


def write(path: Path, weights=(BIG, b"second")) -> Bundle:
    with BundleWriter(path) as writer:
        writer.configure({"format": 1, "name": "m"})
        writer.add(Blob(media.GRAPH, b'{"graph": true}'))
        writer.add(Blob(media.MODEL, b"model"))
        writer.add(Blob(media.GOLDEN, b"golden"))
        for data in weights:
            writer.add(Blob(media.WEIGHTS, data))
    return Bundle.open(path)


def segment(name, weights=()):
    about = {"layers": [name], "inputs": ["input"], "outputs": [name], "weights": list(weights)}
    data = f"segment {name}".encode()
    annotations = {media.SEGMENT_ID: name, media.SEGMENT_ABOUT: canonical_json(about).decode()}
    return Blob(media.SEGMENT, data, annotations)


def same(first: Bundle, second: Bundle) -> bool:
    names = [entry.digest for entry in first.layers]
    return first.manifest == second.manifest and all(first.read(name) == second.read(name) for name in names)
