"""Makes the layer graphs and statistics of AUTO-SPLIT's networks that `tiersplit reproduce` reads.

`python -m benchmarks.papers.autosplit_graphs [--graphs-only] [NAME …]`

Nobody trained these weights: they are what the factory draws with a fixed seed, as torchvision initialises them, and
the statistics of batch norms are those of the calibration images, so that activations keep the scale that training
gives them. The images are drawn too: noise whose amplitude falls with the frequency as that of photographs does.
"""

import argparse
import gzip
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tiersplit_bundle.layout import canonical_json
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_core.graph.serialization import graph_to_json
from tiersplit_core.quantization.json import statistics_to_json
from tiersplit_core.quantization.statistics import Clip, Statistics
from tiersplit_import.calibrate import gather
from tiersplit_import.distortions import layer_statistics, wanted_tensors
from tiersplit_import.export import export
from tiersplit_import.factory import load_module
from tiersplit_import.options import ImportOptions
from tiersplit_import.pipeline import Canonical, canonicalise
from tiersplit_import.proto import whole_model

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
IMAGES = {IMAGENET: 4, DETECTION: 2}
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="networks; all where none is named")
    parser.add_argument("--graphs-only", action="store_true", help="leave the statistics out")
    chosen = parser.parse_args()
    for name in chosen.names or MODELS:
        if chosen.graphs_only:
            model = canonical_model(name)
        else:
            model, statistics = calibrated_model(name)
            write(f"{name}.statistics", canonical_json(statistics_to_json(statistics)))
        write(name, canonical_json(graph_to_json(model.graph)))


def canonical_model(name: str, weights: Path | None = None) -> Canonical:
    """The network in the form in which it is cut; without a file its weights are as they were drawn."""
    source, _ = MODELS[name]
    options = ImportOptions(inputs=(_image(name),), weights=weights, random_weights=weights is None, seed=SEED)
    return canonicalise(export(source, options), options, name)


def calibrated_model(name: str) -> tuple[Canonical, Statistics]:
    """The network with settled norms, and what calibration finds out about its layers."""
    source, size = MODELS[name]
    images = drawn_images(IMAGES[size], size)
    module = load_module(source, ImportOptions(random_weights=True, seed=SEED))
    settle_norms(module, images)
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "weights.pt"
        torch.save(module.state_dict(), path)
        model = canonical_model(name, path)
    return model, statistics_of(model, images)


def _image(name: str) -> TensorSpec:
    size = MODELS[name][1]
    return TensorSpec("input", "float32", (1, 3, size, size))


def drawn_images(count: int, size: int) -> np.ndarray:
    """Images of shape (count, 3, size, size), mean 0 and variance 1: amplitudes fall with the frequency f as 1 / f."""
    noise = np.random.default_rng(SEED).standard_normal((count, 3, size, size))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = np.inf
    images = np.fft.irfft2(np.fft.rfft2(noise) / frequency, s=(size, size))
    return (images / images.std(axis=(1, 2, 3), keepdims=True)).astype(np.float32)


def settle_norms(module: nn.Module, images: np.ndarray) -> None:
    """Let each batch norm's running statistics be those of `images`."""
    norms = [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.inference_mode():
        module(torch.from_numpy(images))
    module.eval()


def statistics_of(model: Canonical, images: np.ndarray) -> Statistics:
    layers = [(unit.name, unit.nodes) for unit in model.units]
    proto = whole_model(model.net, layers, model.graph.name, lambda _: "memory")
    constants, samples = model.net.constants, {model.graph.inputs[0].name: images}
    seen = gather(proto, constants, wanted_tensors(proto, model.graph), samples)
    return layer_statistics(proto, constants, model.graph, seen, Clip.MSE)


def write(stem: str, data: bytes, folder: Path = FOLDER) -> None:
    """Store a document, packed where it is long."""
    for suffix in (".json", ".json.gz"):
        (folder / (stem + suffix)).unlink(missing_ok=True)
    packed = len(data) > PLAIN_BYTES
    content = gzip.compress(data, mtime=0) if packed else data
    (folder / f"{stem}.json{'.gz' if packed else ''}").write_bytes(content)
    print(f"{stem}: {len(content)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
