"""Content keys: what was made once from the same things is never made again, whoever asks and whenever."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tiersplit_api.v1alpha1.model import Validation
from tiersplit_api.v1alpha1.tiers import Tier
from tiersplit_api.v1alpha1.types import SplitDeployment
from tiersplit_control.intent import Intent
from tiersplit_core.quantization.forms import RunForm

KEY_DIGITS = 20


def key_of(parts: Any) -> str:
    """The first 20 hexadecimal digits of SHA-256 over canonical JSON."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def model_key(resource: SplitDeployment) -> str:
    """Names a model: its source, inputs, calibration, validation data, and what the import runs with."""
    model, importing = resource.spec.model, resource.spec.import_
    rated = [] if model.validation.uri is None else [model.validation]
    parts = [model.source, *model.inputs, model.calibration, *rated, *importing.env]
    return key_of([*(part.model_dump(mode="json", exclude_none=True) for part in parts), importing.image])


def layers_key(
    graph: str, tier: Tier, threads: int, batches: Iterable[int], runtime_version: str, forms: Iterable[RunForm] = ()
) -> str:
    """Names the profile of a graph's layers, in quantised forms too, on a class of nodes under the tier's limits."""
    limits = tier.resources.get("limits", {})
    about = [graph, tier.node_selector, limits, tier.memory, threads, list(batches), runtime_version]
    return key_of([*about, *forms])


def segments_key(layers: str, segments: Iterable[str]) -> str:
    """Names the profile of segments (digests of their files) where the layers' profile is called `layers`."""
    return key_of([layers, sorted(segments)])


def plan_key(bundle: str, profiles: Mapping[str, Iterable[str]], intent: Intent, validation: Validation) -> str:
    """Names what planning with these profiles (digests per tier) comes to; the resource's name plays no part."""
    tiers = [(tier.name, tier.memory_bytes) for tier in intent.tiers]
    links = [(link.source, link.target, link.bandwidth_bps, link.latency_s) for link in intent.links]
    goals = [intent.objective.value, intent.raw_input_stays, intent.result_returns, list(intent.batches)]
    narrow = [intent.weight_bits, intent.activation_bits, intent.max_drop, intent.least_accuracy]
    rated = validation.model_dump(mode="json", exclude_none=True)
    measured = {tier: list(digests) for tier, digests in profiles.items()}
    return key_of([bundle, measured, tiers, links, goals, narrow, rated])
