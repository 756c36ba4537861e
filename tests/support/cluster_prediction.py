"""What `tiersplit plan` says that a deployment should do, from the profiles that its bundle carries."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiersplit_bundle import media
from tiersplit_bundle.bundle import Bundle
from tiersplit_core.planning.conditions import Conditions
from tiersplit_core.planning.look_up import Surface
from tiersplit_core.planning.surface_json import surface_from_json

ROOT = Path(__file__).parents[2]
PAYLOAD_SHARE = 0.95
"""Of what a link of the test cluster passes: the rest is Ethernet's, IP's, TCP's and HTTP/2's headers."""
TIMEOUT_S = 120


@dataclass(frozen=True)
class Prediction:
    """The answer of `tiersplit plan`.

    Attributes:
        seconds: what a request should take.
        digest: of the surface's plan with the same placement; empty where the surface has none.
        placement: tier by layer.
    """

    seconds: float
    digest: str
    placement: Mapping[str, str]


class Forecast:
    """Predicts for one bundle.

    Args:
        bundle: with graph, profiles and surface.
        tiers: their names in order.
        latencies_s: one way, per link, as declared.
        memory: the planner's limits by tier, such as 64Mi.
    """

    def __init__(
        self, bundle: Bundle, tiers: Sequence[str], latencies_s: Sequence[float], memory: Mapping[str, str]
    ) -> None:
        self.surface: Surface = surface_from_json(bundle.read_json(media.SURFACE))
        self._bundle, self._tiers, self._latencies_s, self._memory = bundle, tuple(tiers), latencies_s, memory

    def at(self, *bandwidths_bps: float) -> Prediction:
        """The best plan for these links, given as `tc` counts them."""
        command = [sys.executable, "-m", "tiersplit_cli", "plan", "--bundle", str(self._bundle.root), "-o", "json"]
        command += [word for tier in self._tiers for word in ("--profile", str(self._profile(tier)))]
        command += [w for bps in bandwidths_bps for w in ("--bandwidth", str(round(bps * PAYLOAD_SHARE)))]
        command += [w for s in self._latencies_s for w in ("--latency", f"{s * 1e3:g}ms")]
        command += ["--batch", str(self.surface.batches[0])]
        command += [w for tier, limit in self._memory.items() for w in ("--memory", f"{tier}={limit}")]
        done = subprocess.run(
            [*command, "--result-back"], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        return Prediction(answer["objective_s"], self._digest(answer["placement"]), answer["placement"])

    def near(self, *bandwidths_bps: float, loads: tuple[float, ...] = (), within: float = 1.1) -> frozenset[str]:
        """The surface's plans that a policy with that `minGain` may stay with where the planned one is best."""
        seconds = self._seconds(bandwidths_bps, loads)
        return frozenset(digest for digest, taken in seconds.items() if taken <= within * min(seconds.values()))

    def fastest_with(self, tier: str, *bandwidths_bps: float) -> str:
        """The surface's plan that is the fastest of those that have the tier compute."""
        seconds = self._seconds(bandwidths_bps, ())
        plans = [entry.plan for entry in self.surface.entries if tier in entry.plan.placement.values()]
        return min((plan.digest for plan in plans), key=lambda digest: seconds[digest])

    def _seconds(self, bandwidths_bps: Sequence[float], loads: tuple[float, ...]) -> dict[str, float]:
        usable = tuple(bps * PAYLOAD_SHARE for bps in bandwidths_bps)
        seen = Conditions(usable, loads, self.surface.batches[0], tuple(self._latencies_s))
        return {e.plan.digest: self.surface.latency_s(e.plan.digest, seen) for e in self.surface.entries}

    def _digest(self, placement: Mapping[str, str]) -> str:
        same = [entry.plan.digest for entry in self.surface.entries if dict(entry.plan.placement) == placement]
        return same[0] if same else ""

    def _profile(self, tier: str) -> Path:
        """The tier's newest profile as a file."""
        found = [entry for entry in self._bundle.layers if entry.media_type == media.PROFILE]
        named = [(e, self._read(e.digest)) for e in found]
        (*_, data) = [data for e, data in named if e.annotations.get(media.TIER, data["tier"]) == tier]
        path = self._bundle.root.with_name(f"{self._bundle.root.name}-{tier}.json")
        path.write_text(json.dumps(data))
        return path

    def _read(self, digest: str) -> Any:
        return json.loads(self._bundle.read(digest))
