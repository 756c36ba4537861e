"""Photographs, and what a network makes of them, for the benchmarks that compress both."""

import numpy as np
from sklearn.datasets import load_sample_images

SIDE = 416


def photographs():
    """Six crops of 416 × 416 of the two photographs that scikit-learn brings, as (1, 3, 416, 416) bytes."""
    crops = [image[:SIDE, left : left + SIDE] for image in load_sample_images().images for left in (0, 112, 224)]
    return [np.ascontiguousarray(crop.transpose(2, 0, 1)[None]) for crop in crops]


def features(pictures):
    """Features of (1, 256, 52, 52) after a ReLU, of a ResNet-50 with random weights that normalises by its batch."""
    import torch  # noqa: PLC0415 - only this function needs it
    from torchvision.models import resnet50  # noqa: PLC0415

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = resnet50(weights=None).train()
    block = model.layer3[0]
    layers = [model.conv1, model.bn1, model.relu, model.maxpool, model.layer1, model.layer2]
    layers += [block.conv1, block.bn1, block.relu]
    with torch.no_grad():
        found = torch.nn.Sequential(*layers)(torch.from_numpy(np.concatenate(pictures)).float() / 255)
    return [tensor[None] for tensor in found.numpy()]
