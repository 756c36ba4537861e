"""Values whose sizes depend on data: they may exist inside of an opaque layer alone."""

from tiersplit_core.errors import ModelError
from tiersplit_import.net import Net, Node

_DATA_DEPENDENT = frozenset({"NonZero", "Unique", "NonMaxSuppression", "Compress"})
# These compute what has the size of their first input, whatever the sizes of the others are.
_SIZED_BY_FIRST = frozenset({"ScatterND", "ScatterElements"})


class LooseValues:
    """Finds such values while the nodes of a graph are gone through in order.

    Args:
        net: the graph.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self._calls: dict[str, str] = {}

    @property
    def names(self) -> frozenset[str]:
        """Those found."""
        return frozenset(self._calls)

    def takes(self, node: Node) -> bool:
        """Whether sizes of `node` depend on data; then what it computes is looked at.

        Raises:
            ModelError: it stands outside of the model's opaque modules, or reads what is inside of one.
        """
        read = [name for name in node.reads() if name in self._calls]
        if not read and node.op not in _DATA_DEPENDENT:
            return False
        self._check(node, read)
        deciding = node.inputs[:1] if node.op in _SIZED_BY_FIRST else read
        if node.op in _DATA_DEPENDENT or any(name in self._calls for name in deciding):
            self._calls.update(dict.fromkeys((name for name in node.outputs if name), node.call))
        return True

    def check_outputs(self) -> None:
        """Make sure that no output is one of them; raises ModelError."""
        found = [key for key, tensor in self._net.outputs if tensor in self._calls]
        if found:
            raise ModelError("its size depends on data; pad it to a bound", f"output {found[0]}")

    def _check(self, node: Node, read: list[str]) -> None:
        if any(self._calls[name] != node.call for name in read):
            raise ModelError("it reads what has a size that depends on data; pad that to a bound", node.label)
        if node.call not in self._net.opaque:
            raise ModelError(
                f"the shape of what {node.op} computes depends on data; end the model before it, or do it in a module "
                "that derives from tiersplit_import.one_layer.Opaque and pads what it returns to a bound",
                node.label,
            )
