"""What the cluster uses and runs beside it, on the bridge: DNS, a registry of images, and Prometheus."""

import json
from pathlib import Path

from tests.cluster import kwok
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubectl import kubectl
from tests.cluster.layout import DNS_PORT, HOST_ADDRESS, PROMETHEUS_ADDRESS, REGISTRY, REGISTRY_ADDRESS, cache, state
from tests.cluster.processes import Program
from tests.cluster.programs import binary

SCRAPE_INTERVAL = "5s"
TOKEN_LIFE = "8760h"
VOLUMES = "tiersplit.test/folders"
"""The provisioner of the cluster's default StorageClass."""


def coredns(plane: ControlPlane) -> Program:
    """The cluster's DNS; it answers at once, with no such name, for all that lies outside."""
    kubeconfig = plane.kubeconfig("coredns", "system:coredns")
    corefile = _folder("coredns") / "Corefile"
    registry_name = REGISTRY.partition(":")[0]
    zones = {
        "cluster.local in-addr.arpa": f"kubernetes {{\n        kubeconfig {kubeconfig}\n        ttl 5\n    }}",
        registry_name: f"hosts {{\n        {HOST_ADDRESS} {registry_name}\n    }}",
        ".": "template ANY ANY {\n        rcode NXDOMAIN\n    }",
    }
    corefile.write_text("".join(_server(names, answers) for names, answers in zones.items()))
    return Program("coredns", (str(binary("coredns")), "-conf", str(corefile)))


def _server(zones: str, answers: str) -> str:
    listening = " ".join(f"{zone}:{DNS_PORT}" for zone in zones.split())
    return f"{listening} {{\n    bind {HOST_ADDRESS}\n    errors\n    {answers}\n}}\n"


def registry() -> Program:
    """The registry of images; what was pushed outlives the cluster."""
    images = cache() / "registry"
    images.mkdir(parents=True, exist_ok=True)
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(images)}, "delete": {"enabled": True}},
        "http": {"addr": REGISTRY_ADDRESS},
    }
    path = _folder("registry") / "config.yml"
    path.write_text(json.dumps(configuration, indent=1))
    return Program("registry", ("docker-registry", "serve", str(path)))


def volumes(plane: ControlPlane) -> Program:
    """What gives each claim a folder, on whatever node its pod runs."""
    kubeconfig = plane.kubeconfig("volumes", "tiersplit-test:volumes")
    flags = (f"--kubeconfig={kubeconfig}", f"--name={VOLUMES}", f"--folder={_folder('volumes')}")
    return Program("volumes", (str(binary("volumes")), *flags))


def prometheus(plane: ControlPlane) -> Program:
    """Prometheus, which finds the product's pods as a PodMonitor would."""
    folder = _folder("prometheus")
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(kubectl("create", "token", "prometheus", "--namespace=monitoring", f"--duration={TOKEN_LIFE}"))
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(_prometheus_configuration(plane, token), indent=1))
    command = (
        str(binary("prometheus")),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=1d",
        f"--web.listen-address={PROMETHEUS_ADDRESS}",
        "--log.level=warn",
    )
    return Program("prometheus", command)


def _prometheus_configuration(plane: ControlPlane, token: Path) -> dict[str, object]:
    discovery = {
        "role": "pod",
        "api_server": plane.url,
        "authorization": {"credentials_file": str(token)},
        "tls_config": {"ca_file": str(plane.authority.certificate)},
        "selectors": [{"role": "pod", "label": "app.kubernetes.io/part-of=tiersplit"}],
    }
    pod = "__meta_kubernetes_pod"
    renamed = {
        "__meta_kubernetes_namespace": "namespace",
        f"{pod}_name": "pod",
        f"{pod}_node_name": "node",
        f"{pod}_label_tiersplit_dev_deployment": "splitdeployment",
        f"{pod}_label_tiersplit_dev_tier": "tier",
    }
    relabeling: list[dict[str, object]] = [
        {"action": "keep", "source_labels": [f"{pod}_container_port_name"], "regex": "metrics"},
        {"action": "drop", "source_labels": [f"{pod}_phase"], "regex": "Failed|Succeeded"},
        # Behind the addresses of pods that only pretend there is nobody, and thousands of them are asked in vain.
        {"action": "drop", "source_labels": [f"{pod}_node_name"], "regex": f"{kwok.NAME_PREFIX}.*"},
        *[dict[str, object](source_labels=[source], target_label=target) for source, target in renamed.items()],
    ]
    job = {"job_name": "tiersplit", "kubernetes_sd_configs": [discovery], "relabel_configs": relabeling}
    return {"global": {"scrape_interval": SCRAPE_INTERVAL, "scrape_timeout": "4s"}, "scrape_configs": [job]}


def _folder(name: str) -> Path:
    folder = state() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
