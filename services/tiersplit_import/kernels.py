"""The operators of a model whose constants can be quantised: convolutions and products with a constant."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper

from tiersplit_import.cutter import layer_of

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
_PRODUCTS = frozenset({"Gemm", "MatMul"})
_WEIGHT = 1


@dataclass(frozen=True, slots=True)
class Kernel:
    """An operator with a floating-point constant as its second input.

    Attributes:
        name: the node's.
        layer: the layer that it belongs to.
        op: `Conv`, `ConvTranspose`, `Gemm` or `MatMul`.
        weight: the constant.
        axis: the constant's axis of output channels.
        source: the tensor that it reads.
        result: the tensor that it computes.
        bias: the constant that it adds; empty where there is none.
        groups: of a convolution.
    """

    name: str
    layer: str
    op: str
    weight: str
    axis: int
    source: str
    result: str
    bias: str = ""
    groups: int = 1

    @property
    def source_axis(self) -> int:
        """The axis of the channels of what it reads."""
        return 1 if self.op in _CONVOLUTIONS else -1


def kernels_of(model: ModelProto) -> list[Kernel]:
    """The kernels of a canonical model, or of a segment of one, in running order."""
    held = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    return [_kernel(node, held) for node in model.graph.node if _has_kernel(node, held)]


def _has_kernel(node: NodeProto, held: Mapping[str, TensorProto]) -> bool:
    known = not node.domain and node.op_type in _CONVOLUTIONS | _PRODUCTS
    if not known or node.input[_WEIGHT] not in held or node.input[0] in held:
        return False
    if node.op_type in _CONVOLUTIONS:
        return True
    plain = (attribute(node, "alpha", 1), attribute(node, "beta", 1), attribute(node, "transA", 0)) == (1, 1, 0)
    return plain and len(held[node.input[_WEIGHT]].dims) == 2


def _kernel(node: NodeProto, held: Mapping[str, TensorProto]) -> Kernel:
    bias = node.input[2] if len(node.input) > 2 else ""
    return Kernel(
        name=node.name,
        layer=layer_of(node),
        op=node.op_type,
        weight=node.input[_WEIGHT],
        axis=_output_axis(node),
        source=node.input[0],
        result=node.output[0],
        bias=bias if bias in held else "",
        groups=int(attribute(node, "group", 1)),
    )


def _output_axis(node: NodeProto) -> int:
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0)):
        return 0
    return 1


def attribute(node: NodeProto, name: str, default: float) -> float:
    """A number among a node's attributes."""
    found: AttributeProto | None = next((entry for entry in node.attribute if entry.name == name), None)
    return default if found is None else float(helper.get_attribute_value(found))
