"""The media types and annotations of a bundle."""

ARTIFACT = "application/vnd.tiersplit.bundle.v1"
CONFIG = "application/vnd.tiersplit.config.v1+json"
GRAPH = "application/vnd.tiersplit.graph.v1+json"
MODEL = "application/vnd.tiersplit.model.v1.onnx"
WEIGHTS = "application/vnd.tiersplit.weights.v1"
SEGMENT = "application/vnd.tiersplit.segment.v1.onnx"
GOLDEN = "application/vnd.tiersplit.golden.v1.safetensors"
SURFACE = "application/vnd.tiersplit.surface.v1+json"
PROFILE = "application/vnd.tiersplit.profile.v1+json"
STATISTICS = "application/vnd.tiersplit.statistics.v1+json"
QUANTIZATION = "application/vnd.tiersplit.quantization.v1+json"
"""What quantising each layer costs, and the ranges for it; only where calibration data was given."""

LAYERS = frozenset({GRAPH, MODEL, WEIGHTS, SEGMENT, GOLDEN, SURFACE, PROFILE, STATISTICS, QUANTIZATION})
"""What a bundle's manifest may list as layers."""

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"

SEGMENT_ID = "tiersplit.segment"
SEGMENT_ABOUT = "tiersplit.about"
BASE = "tiersplit.base"
"""Manifest annotation of an extended bundle: the digest of the manifest that import wrote."""

TIER = "tiersplit.tier"
"""Annotation of a profile, as a layer or an artifact: the tier that it is of."""

ACCURACY = "tiersplit.accuracy"
"""Manifest annotation: the model's metric on the validation data, as a fraction such as 0.9712."""
