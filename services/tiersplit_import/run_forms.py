"""Cutting a segment in a quantised form: what a stage loads, and what its accuracy was measured on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from tiersplit_bundle import Blob, Bundle, media
from tiersplit_core.codec.bitpack import pack
from tiersplit_core.quantization.forms import FORM_KEY, RunForm, variant_id
from tiersplit_core.quantization.packed import PACKED_BITS, PACKED_NAME, pack_weights
from tiersplit_core.quantization.weights import QuantisedWeights
from tiersplit_import.evaluation import read_constants, statistics_of
from tiersplit_import.net import Array
from tiersplit_import.proto import EXTERNAL_FROM_BYTES, external_proto, tensor_proto
from tiersplit_import.quantise import Widths, quantised_model
from tiersplit_import.segments import Cutter, SegmentSpec, segment_blob

_NARROW_TYPES = {2: TensorProto.INT2, 4: TensorProto.INT4}
_TWO_BITS_SINCE = (25, 13)
"""Operator set and file version of ONNX from which 2-bit integers are known."""


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


def variant_blobs(bundle: Bundle, segment: SegmentSpec, form: RunForm, widths: Mapping[str, Widths]) -> list[Blob]:
    """A segment in a quantised form: its ONNX file, and before it the constants that the bundle lacks.

    Args:
        bundle: complete, imported with calibration data.
        segment: what is cut.
        form: int8 or packed.
        widths: by layer; layers of the segment that it does not name stay as they are. *packed* leaves activations as
            they are, *int8* runs them with 8 bits where they have less than 16.

    Raises:
        BundleError: the bundle has no statistics for quantisation.
        GraphError: the segment is no legal cut.
    """
    path = bundle.model_path
    cutter = Cutter(onnx.load(str(path), load_external_data=False), bundle.graph)
    model, before, after = cutter.cut(segment)
    own = {name: widths.get(name, Widths()) for name in segment.layers}
    store: _Int8Blobs | _PackedBlobs = _Int8Blobs()
    if form is RunForm.PACKED:
        store, own = _PackedBlobs(), {name: replace(found, activation_bits=32) for name, found in own.items()}
    made = quantised_model(model, read_constants(model, path.parent), statistics_of(bundle), own, store, narrow=False)
    _finish(made, form)
    name = variant_id(segment.id, form, {key: (w.weight_bits, w.activation_bits) for key, w in own.items()})
    return [*store.made.values(), segment_blob(name, segment.layers, made, before, after)]


def _finish(model: ModelProto, form: RunForm) -> None:
    """Say the form in the file, and the version of ONNX that its types need."""
    model.metadata_props.add(key=FORM_KEY, value=form.value)
    if any(tensor.data_type == TensorProto.INT2 for tensor in model.graph.initializer):
        opset, model.ir_version = _TWO_BITS_SINCE
        for entry in model.opset_import:
            if entry.domain == "":
                entry.version = max(entry.version, opset)
