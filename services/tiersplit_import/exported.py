"""What every kind of source becomes: an ONNX graph, with a reference that computes what the source computes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tiersplit_import.net import Array, Net

OPSET = 21
Reference = Callable[[Mapping[str, Array]], list[Array]]


@dataclass(frozen=True)
class Exported:
    """A source as an ONNX graph.

    Attributes:
        net: the graph as it was exported.
        reference: computes the source's outputs from its inputs (by name, any batch size), in the order of
            `net.outputs`.
    """

    net: Net
    reference: Reference
