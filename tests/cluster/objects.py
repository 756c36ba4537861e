"""What the API server has to hold for a cluster to work: who may do what, and Services for what runs on the host."""

from typing import Any

from tests.cluster.layout import DNS_PORT, DNS_SERVICE_ADDRESS, HOST_ADDRESS, PROMETHEUS_ADDRESS
from tests.cluster.services import VOLUMES

RBAC = "rbac.authorization.k8s.io"
Object = dict[str, Any]


def all_objects() -> list[Object]:
    """Every object that `up` applies."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}},
        *_access(),
        _storage_class(),
        *_service(
            "kube-dns",
            "kube-system",
            {"dns": ("UDP", 53, DNS_PORT), "dns-tcp": ("TCP", 53, DNS_PORT)},
            DNS_SERVICE_ADDRESS,
        ),
        *_service("prometheus", "monitoring", {"http": ("TCP", 9090, int(PROMETHEUS_ADDRESS.rpartition(":")[2]))}),
    ]


def _access() -> list[Object]:
    discovery = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    names = {
        "apiGroups": [""],
        "resources": ["endpoints", "services", "pods", "namespaces"],
        "verbs": ["list", "watch"],
    }
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    account = {"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}
    return [
        _binding(
            "tiersplit-test:apiserver-kubelets", "system:kubelet-api-admin", _user("kube-apiserver-kubelet-client")
        ),
        _role("tiersplit-test:coredns", [names, discovery]),
        _binding("tiersplit-test:coredns", "tiersplit-test:coredns", _user("system:coredns")),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "prometheus", "namespace": "monitoring"}},
        _binding("tiersplit-test:volumes", "system:persistent-volume-provisioner", _user("tiersplit-test:volumes")),
        _role("tiersplit-test:prometheus", [pods]),
        _binding("tiersplit-test:prometheus", "tiersplit-test:prometheus", account),
    ]


def _storage_class() -> Object:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "folders", "annotations": annotations},
        "provisioner": VOLUMES,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _user(name: str) -> Object:
    return {"kind": "User", "apiGroup": RBAC, "name": name}


def _role(name: str, rules: list[Object]) -> Object:
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}


def _binding(name: str, role: str, subject: Object) -> Object:
    reference = {"kind": "ClusterRole", "apiGroup": RBAC, "name": role}
    metadata = {"name": name}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": reference,
        "subjects": [subject],
    }


def _service(
    name: str, namespace: str, ports: dict[str, tuple[str, int, int]], address: str | None = None
) -> list[Object]:
    """A Service without a selector, and the slice that leads it to the host; ports are (protocol, port, target)."""
    metadata = {"name": name, "namespace": namespace}
    front = [
        {"name": key, "protocol": p, "port": port, "targetPort": target} for key, (p, port, target) in ports.items()
    ]
    behind = [{"name": key, "protocol": p, "port": target} for key, (p, _, target) in ports.items()]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": front} | ({"clusterIP": address} if address else {}),
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST_ADDRESS], "conditions": {"ready": True}}],
            "ports": behind,
        },
    ]
