"""Makes the layer graphs of AUTO-SPLIT's networks that `tiersplit reproduce` reads: all, or those that are named.

`python -m benchmarks.papers.autosplit_graphs [NAME …]`
"""

import gzip
import sys
from pathlib import Path

from tiersplit_bundle.layout import canonical_json
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_core.graph.serialization import graph_to_json
from tiersplit_import.export import export
from tiersplit_import.options import ImportOptions
from tiersplit_import.pipeline import Canonical, canonicalise

IMAGENET, DETECTION = 224, 416
MODELS = {
    "resnet18": ("torchvision.models:resnet18", IMAGENET),
    "resnet50": ("torchvision.models:resnet50", IMAGENET),
    "resnext50_32x4d": ("torchvision.models:resnext50_32x4d", IMAGENET),
    "mobilenet_v2": ("torchvision.models:mobilenet_v2", IMAGENET),
    "mnasnet1_0": ("torchvision.models:mnasnet1_0", IMAGENET),
    "googlenet": ("torchvision.models:googlenet", IMAGENET),
    "yolov3": ("tiersplit_import.models:yolov3", DETECTION),
    "yolov3_tiny": ("tiersplit_import.models:yolov3_tiny", DETECTION),
    "yolov3_spp": ("tiersplit_import.models:yolov3_spp", DETECTION),
    "faster_rcnn": ("tiersplit_import.models:faster_rcnn", DETECTION),
    "faster_rcnn_late": ("tiersplit_import.models:faster_rcnn_late", DETECTION),
}
FOLDER = Path(__file__).parents[2] / "operator" / "tiersplit_cli" / "papers" / "graphs"
PLAIN_BYTES = 200_000
SEED = 0


def main(names: list[str]) -> None:
    for name in names or MODELS:
        write(name, canonical_json(graph_to_json(canonical_model(name).graph)))


def canonical_model(name: str) -> Canonical:
    """The network in the form in which it is cut; its weights are random."""
    source, size = MODELS[name]
    image = TensorSpec("input", "float32", (1, 3, size, size))
    options = ImportOptions(inputs=(image,), random_weights=True, seed=SEED)
    return canonicalise(export(source, options), options, name)


def write(stem: str, data: bytes) -> None:
    """Store a document, packed where it is long."""
    for path in FOLDER.glob(f"{stem}.json*"):
        path.unlink()
    packed = len(data) > PLAIN_BYTES
    content = gzip.compress(data, mtime=0) if packed else data
    (FOLDER / f"{stem}.json{'.gz' if packed else ''}").write_bytes(content)
    print(f"{stem}: {len(content)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
