"""kubectl, of the cluster's own version."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.cluster.layout import ClusterError, kubeconfig
from tests.cluster.programs import binary

TIMEOUT_S = 180


def kubectl(*arguments: str, stdin: str | None = None, config: Path | None = None, timeout_s: float = TIMEOUT_S) -> str:
    """What kubectl prints, as the cluster's administrator unless another kubeconfig is given.

    Raises:
        ClusterError: kubectl failed or took too long; the message is its own.
    """
    command = [str(binary("kubectl")), f"--kubeconfig={config or kubeconfig()}", *arguments]
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"kubectl {' '.join(arguments)} took more than {timeout_s:g} s") from None
    if done.returncode:
        raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def get(*arguments: str) -> Any:
    """What `kubectl get … -o json` finds."""
    return json.loads(kubectl("get", *arguments, "-o", "json"))


def apply(objects: Iterable[dict[str, Any]]) -> None:
    """Make the cluster's objects as given, by server-side apply."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed))
