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

ACCURACIES = "application/vnd.tiersplit.accuracies.v1+json"
"""The model's accuracy on the validation data, and that of each plan that was rated on them."""

PLAN_GOLDEN = "application/vnd.tiersplit.plan-golden.v1.safetensors"
"""What the very segments of a plan answer to the golden inputs, with those; its annotation `PLAN` says whose it is."""

LAYERS = frozenset(
    {
        *(GRAPH, MODEL, WEIGHTS, SEGMENT, GOLDEN, SURFACE, PROFILE, STATISTICS, QUANTIZATION),
        *(ACCURACIES, PLAN_GOLDEN),
    }
)
"""What a bundle's manifest may list as layers."""

COLLECTED = frozenset({WEIGHTS, SEGMENT, PLAN_GOLDEN})
"""What gathers in a bundle: one does not take another's place."""

NEWEST = frozenset({SURFACE, ACCURACIES})
"""Of these a bundle lists the newest alone."""

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"

SEGMENT_ID = "tiersplit.segment"
SEGMENT_ABOUT = "tiersplit.about"
FORM = "tiersplit.form"
"""Annotation of the whole model in a quantised form, as a segment that is measured and that nobody deploys."""

PLAN = "tiersplit.plan"
"""Annotation of a plan's golden answers: the plan's digest."""

BASE = "tiersplit.base"
"""Manifest annotation of an extended bundle: the digest of the manifest that import wrote."""

TIER = "tiersplit.tier"
"""Annotation of a profile, as a layer or an artifact: the tier that it is of."""

ACCURACY = "tiersplit.accuracy"
"""Manifest annotation: the model's metric on the validation data, as a fraction such as 0.9712."""
