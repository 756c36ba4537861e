"""The bundle: everything that is needed to run a model split, as an OCI image layout."""

from tiersplit_bundle.accuracies import Accuracies
from tiersplit_bundle.bundle import Bundle, BundleSegment
from tiersplit_bundle.writer import Blob, BundleWriter, extend

__all__ = ["Accuracies", "Blob", "Bundle", "BundleSegment", "BundleWriter", "extend"]
