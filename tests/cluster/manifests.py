"""`python -m tests.cluster.manifests`: the plain manifests for `kubectl apply -k`, rendered from the chart."""

import sys

from tests.cluster.helm import ROOT, template
from tests.cluster.layout import ClusterError

FILE = ROOT / "deploy" / "kustomize" / "tiersplit.yaml"
HEAD = "# Rendered from helm/tiersplit by `make manifests`.\n"


def manifests() -> str:
    """The chart's defaults, but for the certificate of the route stream: whoever applies them gives a Secret.

    Raises:
        ClusterError: the chart cannot be rendered.
    """
    return HEAD + template({"routes": {"tls": {"mode": "Secret"}}}, more=["--skip-tests"])


def main() -> int:
    """Write the file."""
    try:
        FILE.write_text(manifests())
    except ClusterError as error:
        print(f"manifests: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
