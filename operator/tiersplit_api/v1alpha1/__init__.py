"""Version v1alpha1 of the API."""

from tiersplit_api.v1alpha1.loading import load_manifest, parse_manifest, resource_from
from tiersplit_api.v1alpha1.types import SplitDeployment

__all__ = ["SplitDeployment", "load_manifest", "parse_manifest", "resource_from"]
