"""A SplitDeployment on the test cluster: what tests do to it and ask about it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.cluster.kubectl import kubectl
from tests.cluster.waiting import wait_until
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.bundle import Bundle
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry

T = TypeVar("T")
FRONT_PORT, METRICS_PORT = 8001, 9090
READY_S = 300.0
PIN = "tiersplit.dev/pinned-plan"


@dataclass(frozen=True)
class Product:
    """One SplitDeployment, by its name in a namespace."""

    name: str
    namespace: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints, in the deployment's namespace."""
        return kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def get(self, kind: str, *arguments: str) -> Any:
        """What `kubectl get KIND … -o json` finds."""
        return json.loads(self.kubectl("get", kind, *arguments, "-o=json"))

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Apply the manifest as a user does."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def delete(self) -> None:
        """Delete the resource and wait until what it owned is gone too."""
        self.kubectl("delete", "splitdeployment", self.name, "--ignore-not-found", "--timeout=60s")
        owned = f"--selector=tiersplit.dev/deployment={self.name}"
        wait_until(lambda: not self.get("pods", owned)["items"], f"the pods of {self.name} were gone", 120, 0.5)

    def pin(self, digest: str | None) -> None:
        """Let one plan serve, or let the policy decide."""
        written = f"{PIN}-" if digest is None else f"{PIN}={digest}"
        self.kubectl("annotate", "splitdeployment", self.name, written, "--overwrite")

    @property
    def status(self) -> dict[str, Any]:
        """The resource's status."""
        found: dict[str, Any] = self.get("splitdeployment", self.name).get("status", {})
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """One condition; empty where there is none."""
        return next((c for c in self.status.get("conditions", []) if c["type"] == kind), {})

    def wait_for(self, kind: str, status: str = "True", timeout_s: float = READY_S) -> dict[str, Any]:
        """Wait until a condition of the present generation has that status.

        Raises:
            ClusterError: the time is over; the message has the conditions.
        """

        def holds() -> dict[str, Any]:
            found = self.get("splitdeployment", self.name)
            condition = next((c for c in found.get("status", {}).get("conditions", []) if c["type"] == kind), {})
            fits = condition.get("status") == status
            return condition if fits and condition["observedGeneration"] == found["metadata"]["generation"] else {}

        return self.wait(holds, f"{self.name} had {kind}={status}", timeout_s)

    def wait(
        self, condition: Callable[[], T], what: str, timeout_s: float, seen: Callable[[], object] = lambda: ""
    ) -> T:
        """Ask until the answer is true; the error has the conditions as they are then, and what else was seen."""
        try:
            return wait_until(condition, what, timeout_s, 0.5)
        except Exception as error:
            are = [f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in self.status["conditions"]]
            raise AssertionError("\n".join([str(error), *are, str(seen())])) from error

    @property
    def head(self) -> str:
        """HOST:PORT of the front Service, reachable from here."""
        return f"{self.get('service', self.name)['spec']['clusterIP']}:{FRONT_PORT}"

    def pods(self, tier: str) -> list[dict[str, Any]]:
        """The tier's stages that are not ending."""
        labels = (
            f"tiersplit.dev/deployment={self.name},tiersplit.dev/tier={tier},app.kubernetes.io/name=tiersplit-stage"
        )
        listed = self.get("pods", f"--selector={labels}")["items"]
        return [
            pod
            for pod in listed
            if "deletionTimestamp" not in pod["metadata"] and "tiersplit.dev/step" not in pod["metadata"]["labels"]
        ]

    def ready_pods(self, tier: str) -> list[dict[str, Any]]:
        """The tier's stages that would be sent requests."""
        return [pod for pod in self.pods(tier) if is_ready(pod)]

    def pod(self, tier: str, node: str = "") -> dict[str, Any]:
        """The tier's one stage, or that on a node."""
        (found,) = [pod for pod in self.pods(tier) if not node or pod["spec"]["nodeName"] == node]
        return found

    def metrics(self, tier: str, node: str = "") -> str:
        """What Prometheus would read from a stage."""
        address = self.pod(tier, node)["status"]["podIP"]
        return httpx.get(f"http://{address}:{METRICS_PORT}/metrics", timeout=10, trust_env=False).text

    def load(self, tier: str) -> float:
        """What a tier's stage says of itself: how much slower than profiled it runs."""
        found = re.search(r"^tiersplit_tier_load(?:\{[^}]*\})? ([0-9.e+-]+)$", self.metrics(tier), re.MULTILINE)
        return 1.0 if found is None else float(found[1])

    def ask_stock_client(self, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answers to requests by Triton's own client, in a process of its own."""
        command = [sys.executable, str(Path(__file__).with_name("triton_client.py")), self.head, self.name]
        done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=120, check=True)
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers

    def served_bundle(self, folder: Path, registry: str) -> Bundle:
        """The bundle that serves.

        Args:
            folder: where it is kept.
            registry: HOST:PORT of the registry from here.
        """
        reference = Reference.parse(self.status["surface"]["bundle"])
        here = Reference.parse(f"oci://{registry}/{reference.repository}@{reference.digest}")
        with Registry(here, RegistryAccess(plain_http=True)) as client:
            return client.pull_bundle(folder)


def roll(product: Product, tier: str, mark: str) -> None:
    """Have a tier's pods replaced: its template changes in a way that matters to nobody."""
    tiers = product.get("splitdeployment", product.name)["spec"]["tiers"]
    (number,) = [i for i, known in enumerate(tiers) if known["name"] == tier]
    template = {"metadata": {"annotations": {"tiersplit.test/roll": mark}}}
    patch = [{"op": "add", "path": f"/spec/tiers/{number}/template", "value": template}]
    product.kubectl("patch", "splitdeployment", product.name, "--type=json", f"--patch={json.dumps(patch)}")


def rolled(product: Product, tier: str, before: str) -> bool:
    """Whether one ready pod with another name serves the tier."""
    pods = product.pods(tier)
    return len(pods) == 1 and pods[0]["metadata"]["name"] != before and is_ready(pods[0])


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is Ready."""
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def image_of(product: Product, tier: str) -> str:
    """The image of the tier's one ready pod; empty while there are several or none."""
    pods = product.pods(tier)
    return str(pods[0]["spec"]["containers"][0]["image"]) if len(pods) == 1 and is_ready(pods[0]) else ""
