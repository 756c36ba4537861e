"""Bytes of a value that crosses a link at other bits than it is computed at (design §4.1, `transmission_bits`)."""

from tiersplit_core.codec.size import WireTensor, payload_bytes, tensor_bytes

TRANSMISSION_BITS = (1, 2, 4, 6, 8, 16, 32)
"""Bits per element that may cross a link."""
_QUANTISED_BELOW = 16


def sent_payload_bytes(name: str, elements: int, bits: int, batch: int = 1) -> int:
    """ceil(elements · bits / 8) and what the wire says about the tensor: name, shape, bits, scale, zero point.

    That is what AUTO-SPLIT's table 5 sends beside an activation; the request's own fields count with the link.

    Args:
        name: the value's name.
        elements: its elements at the batch size.
        bits: bits per element.
        batch: the batch size, the first entry of its shape.
    """
    shape = (batch, max(elements // batch, 1))
    described = tensor_bytes(WireTensor(name, "float32", shape, bits, quantised=bits < _QUANTISED_BELOW))
    return described - payload_bytes(shape[0] * shape[1], bits) + payload_bytes(elements, bits)
