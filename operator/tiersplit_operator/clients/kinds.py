"""The kinds that the operator reads and writes. Known here instead of discovered: no cache can go stale."""

from typing import NamedTuple

from tiersplit_api.v1alpha1.types import GROUP, KIND, VERSION


class KindInfo(NamedTuple):
    """Where the API serves a kind."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in a manifest's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version


KINDS = {
    "ConfigMap": KindInfo("", "v1", "configmaps"),
    "Pod": KindInfo("", "v1", "pods"),
    "Service": KindInfo("", "v1", "services"),
    "ServiceAccount": KindInfo("", "v1", "serviceaccounts"),
    "Deployment": KindInfo("apps", "v1", "deployments"),
    "DaemonSet": KindInfo("apps", "v1", "daemonsets"),
    "Job": KindInfo("batch", "v1", "jobs"),
    "PodDisruptionBudget": KindInfo("policy", "v1", "poddisruptionbudgets"),
    "NetworkPolicy": KindInfo("networking.k8s.io", "v1", "networkpolicies"),
    "Lease": KindInfo("coordination.k8s.io", "v1", "leases"),
    "Event": KindInfo("events.k8s.io", "v1", "events"),
    "TokenReview": KindInfo("authentication.k8s.io", "v1", "tokenreviews", namespaced=False),
    KIND: KindInfo(GROUP, VERSION, "splitdeployments"),
}
