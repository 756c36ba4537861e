"""Modules that become one layer, whatever they compute inside."""

from collections.abc import Mapping

from torch import nn

from tiersplit_import.net import Net


class OneLayer(nn.Module):
    """A module, called once, that is never divided."""


class Opaque(OneLayer):
    """A module inside of which sizes may depend on data, while those of its results grow with the batch alone.

    It runs on the last tier.
    """


def one_layer_paths(module: nn.Module) -> Mapping[str, bool]:
    """The paths of such modules inside `module`, outermost ones alone, and whether each is opaque."""
    found: dict[str, bool] = {}
    for path, child in module.named_modules():
        if path and isinstance(child, OneLayer) and not any(path.startswith(f"{outer}.") for outer in found):
            found[path] = isinstance(child, Opaque)
    return found


def unite(net: Net, paths: Mapping[str, bool]) -> None:
    """Let the nodes of each of `paths` be one call, so that they form one layer."""
    for node in net.nodes:
        path = next((path for path in paths if node.label == path or node.label.startswith(f"{path}.")), None)
        if path is not None:
            node.label = node.call = path
            if paths[path]:
                net.opaque.add(path)
