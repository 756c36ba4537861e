"""Helm, and the project's chart."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.layout import ClusterError
from tests.cluster.programs import binary

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "tiersplit"
NAMESPACE, RELEASE = "tiersplit-system", "tiersplit"
TIMEOUT_S = 900
KUBERNETES = "1.34.0"
"""What `helm template` takes the cluster for: it asks none."""


def helm(*arguments: str, values: Mapping[str, Any] | None = None, kubeconfig: Path | None = None) -> str:
    """What helm prints.

    Args:
        arguments: of the command line.
        values: for the chart; the command then ends with `--values -`.
        kubeconfig: of the cluster.

    Raises:
        ClusterError: helm failed or took too long; the message is its own.
    """
    command = [str(binary("helm")), *arguments]
    command += [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
    command += ["--values", "-"] if values is not None else []
    given = json.dumps(values) if values is not None else None
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ClusterError(f"helm {' '.join(arguments)} took more than {TIMEOUT_S} s") from None
    if done.returncode:
        raise ClusterError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def template(values: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE, more: Iterable[str] = ()) -> str:
    """The chart's manifests, as text; no cluster is asked.

    Raises:
        ClusterError: the values do not fit.
    """
    arguments = ["template", RELEASE, str(CHART), f"--namespace={namespace}", f"--kube-version={KUBERNETES}", *more]
    return helm(*arguments, values=values or {})


def objects(manifests: str) -> list[dict[str, Any]]:
    """The objects in a text of manifests."""
    return [found for found in yaml.safe_load_all(manifests) if found]
