"""Cutting a segment in a quantised form: what a stage loads, and what its accuracy was measured on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto

from tiersplit_bundle import Blob, media
from tiersplit_core.codec.bitpack import pack
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.planning.segments import SegmentSpec
from tiersplit_core.quantization.forms import FORM_KEY, RunForm
from tiersplit_core.quantization.packed import PACKED_BITS, PACKED_NAME, pack_weights
from tiersplit_core.quantization.statistics import Statistics
from tiersplit_core.quantization.weights import QuantisedWeights
from tiersplit_import.cutter import Cutter, boundary, segment_blob
from tiersplit_import.evaluation import read_constants
from tiersplit_import.net import Array
from tiersplit_import.proto import EXTERNAL_FROM_BYTES, external_proto, tensor_proto
from tiersplit_import.quantise import Widths, quantised_model

_NARROW_TYPES = {2: TensorProto.INT2, 4: TensorProto.INT4}
_TWO_BITS_SINCE = (25, 13)
"""Operator set and file version of ONNX from which 2-bit integers are known."""

WHOLE_WIDTHS: Mapping[RunForm, tuple[int, int]] = {RunForm.INT8: (8, 8), RunForm.PACKED: (4, 32)}
"""Weight and activation bits at which the whole model is measured in each form."""


@dataclass
class _Blobs:
    """Constants become blobs beside the bundle's own."""

    made: dict[str, Blob] = field(default_factory=dict)

    def place(self, data: bytes) -> str:
        """Keep a blob; its bare hexadecimal digest."""
        blob = Blob(media.WEIGHTS, data)
        self.made[blob.digest] = blob
        return blob.digest.removeprefix("sha256:")

    def constant(self, name: str, value: Array) -> TensorProto:
        """An initialiser; large ones are blobs."""
        return tensor_proto(name, value, self.place)


class _Int8Blobs(_Blobs):
    def weights(self, name: str, value: QuantisedWeights) -> TensorProto:
        """Bytes; those of fewer bits are stored packed."""
        if value.bits not in PACKED_BITS or value.values.nbytes < EXTERNAL_FROM_BYTES:
            return self.constant(name, value.values)
        location = self.place(pack_weights(value.values, value.bits))
        return external_proto(f"{PACKED_NAME}{location}", value.values, location)


class _PackedBlobs(_Blobs):
    def weights(self, name: str, value: QuantisedWeights) -> TensorProto:
        """ONNX's own 2- and 4-bit integers in two's complement; wider ones are bytes."""
        bits = _stored_bits(value)
        if bits not in _NARROW_TYPES:
            return self.constant(name, value.values)
        data = pack(value.values.view(np.uint8) & np.uint8(2**bits - 1), bits)
        proto = tensor_proto(name, data, self.place)
        del proto.dims[:]
        proto.dims.extend(value.values.shape)
        proto.data_type = _NARROW_TYPES[bits]
        return proto


def _stored_bits(value: QuantisedWeights) -> int:
    """4 for matrices of 2 bits whose rows end within a byte: ONNX Runtime 1.31 multiplies with those wrongly."""
    matrix = value.values.ndim == 2 and value.axis == 1
    return 4 if value.bits == 2 and matrix and value.values.shape[1] % 4 else value.bits


class VariantCutter:
    """Cuts segments of one model in quantised forms.

    Args:
        cutter: cuts them as they are.
        statistics: from calibration with the model.
        blobs: where the model's large constants lie.
    """

    def __init__(self, cutter: Cutter, statistics: Statistics, blobs: Path) -> None:
        self._cutter, self._statistics, self._blobs = cutter, statistics, blobs

    def blobs(self, segment: SegmentSpec) -> list[Blob]:
        """The segment's ONNX file, and before it the constants that it does not share with the model.

        Args:
            segment: in the form int8 or packed; layers that its widths do not name stay as they are.

        Raises:
            GraphError: it is no legal cut.
            StatisticsError: the statistics lack a layer's bit width.
        """
        model, before, after = self._cutter.cut(segment)
        widths = {layer: Widths(*pair) for layer, pair in segment.widths}
        constants = read_constants(model, self._blobs)
        store = _PackedBlobs() if segment.form is RunForm.PACKED else _Int8Blobs()
        made = quantised_model(model, constants, self._statistics, widths, store, narrow=False)
        _finish(made, segment.form)
        return [*store.made.values(), segment_blob(segment.id, segment.layers, made, before, after)]


def whole_forms(variants: VariantCutter, graph: LayerGraph) -> list[Blob]:
    """The whole model in each quantised form, to be measured layer by layer; constants before what reads them."""
    return [blob for form, widths in WHOLE_WIDTHS.items() for blob in _whole_form(variants, graph, form, widths)]


def _whole_form(variants: VariantCutter, graph: LayerGraph, form: RunForm, widths: tuple[int, int]) -> list[Blob]:
    layers = tuple(graph.index)
    inputs, outputs = boundary(graph, layers)
    every = tuple((layer, widths) for layer in layers)
    *weights, whole = variants.blobs(SegmentSpec(f"whole-{form}", layers, inputs, outputs, form, every, "whole"))
    return [*weights, replace(whole, annotations={**whole.annotations, media.FORM: form.value})]


def _finish(model: ModelProto, form: RunForm) -> None:
    """Say the form in the file, and the version of ONNX that its types need."""
    model.metadata_props.add(key=FORM_KEY, value=form.value)
    if any(tensor.data_type == TensorProto.INT2 for tensor in model.graph.initializer):
        opset, model.ir_version = _TWO_BITS_SINCE
        for entry in model.opset_import:
            if entry.domain == "":
                entry.version = max(entry.version, opset)
