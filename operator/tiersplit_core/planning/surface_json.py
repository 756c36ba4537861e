"""Surfaces as JSON: written once, read strictly, looked up without planning again."""

from collections.abc import Mapping
from typing import Any

from tiersplit_core.cost.problem import Link, Objective
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.conditions import SurfaceBox, checked_box
from tiersplit_core.planning.json_fields import (
    MAX_BYTES,
    join,
    read_list,
    read_name,
    read_number,
    read_object,
    read_whole,
)
from tiersplit_core.planning.look_up import PlanTerms, Surface, SurfaceEntry
from tiersplit_core.planning.plan import Plan
from tiersplit_core.quantization.forms import RunForm

FORMAT = "tiersplit.surface.v1"
_MAX_PLANS = 64
_MAX_BATCHES = 64
_MAX_LAYERS = 10_000
_MAX_BITS = 64


def surface_to_json(surface: Surface) -> dict[str, Any]:
    """The JSON document of a surface."""
    return {
        "format": FORMAT,
        "objective": surface.objective.value,
        "tiers": list(surface.tiers),
        "links": [
            {"from": link.source, "to": link.target, "bandwidth_bps": link.bandwidth_bps, "latency_s": link.latency_s}
            for link in surface.links
        ],
        "batches": list(surface.batches),
        "box": {
            "bandwidth_bps": [list(pair) for pair in surface.box.bandwidth_bps],
            "load": [list(pair) for pair in surface.box.load],
        },
        "epsilon": surface.epsilon,
        "scope": surface.scope,
        "solves": surface.solves,
        "plans": [_entry_to_json(entry) for entry in surface.entries],
    }


def _entry_to_json(entry: SurfaceEntry) -> dict[str, Any]:
    return {
        "digest": entry.plan.digest,
        "fallback": entry.fallback,
        "placement": dict(entry.plan.placement),
        **_widths_to_json(entry.plan),
        "terms": {
            str(batch): {
                "compute_s": list(terms.compute_s),
                "link_bytes": list(terms.link_bytes),
                "link_trips": list(terms.link_trips),
            }
            for batch, terms in entry.terms.items()
        },
    }


def _widths_to_json(plan: Plan) -> dict[str, Any]:
    if not plan.widths:
        return {}
    return {"widths": {layer: list(pair) for layer, pair in plan.widths.items()}, "form": plan.form.value}


def surface_from_json(value: Any) -> Surface:
    """The surface of a parsed JSON document.

    Raises:
        ProblemError: it is none; `path` is the JSON path of the mistake.
    """
    keys = ("format", "objective", "tiers", "links", "batches", "box", "epsilon", "scope", "solves", "plans")
    document = read_object(value, "", keys)
    if document["format"] != FORMAT:
        raise ProblemError(f"{FORMAT!r} is expected", "format")
    if document["objective"] not in [objective.value for objective in Objective]:
        raise ProblemError("'latency' or 'throughput' is expected", "objective")
    names = read_list(document["tiers"], "tiers", 2, 6)
    tiers = tuple(read_name(name, f"tiers[{i}]") for i, name in enumerate(names))
    batches = _read_batches(document["batches"])
    entries = read_list(document["plans"], "plans", 1, _MAX_PLANS)
    return Surface(
        objective=Objective(document["objective"]),
        tiers=tiers,
        links=_read_links(document["links"], tiers),
        batches=batches,
        box=_read_box(document["box"], len(tiers)),
        entries=tuple(_read_entry(entry, f"plans[{i}]", tiers, batches) for i, entry in enumerate(entries)),
        epsilon=read_number(document["epsilon"], "epsilon"),
        scope=read_name(document["scope"], "scope"),
        solves=read_whole(document["solves"], "solves"),
    )


def _read_batches(value: Any) -> tuple[int, ...]:
    sizes = [
        read_whole(size, f"batches[{i}]", 65_536, 1)
        for i, size in enumerate(read_list(value, "batches", 1, _MAX_BATCHES))
    ]
    if sorted(set(sizes)) != sizes:
        raise ProblemError("batch sizes ascend", "batches")
    return tuple(sizes)


def _read_links(value: Any, tiers: tuple[str, ...]) -> tuple[Link, ...]:
    links = []
    for i, entry in enumerate(read_list(value, "links", len(tiers) - 1, len(tiers) - 1)):
        path = f"links[{i}]"
        fields = read_object(entry, path, ("from", "to", "bandwidth_bps", "latency_s"))
        if (fields["from"], fields["to"]) != (tiers[i], tiers[i + 1]):
            raise ProblemError(f"the link from {tiers[i]} to {tiers[i + 1]} is expected", path)
        bandwidth = read_number(fields["bandwidth_bps"], f"{path}.bandwidth_bps", positive=True)
        latency = read_number(fields["latency_s"], f"{path}.latency_s")
        links.append(Link(tiers[i], tiers[i + 1], bandwidth, latency))
    return tuple(links)


def _read_box(value: Any, tiers: int) -> SurfaceBox:
    fields = read_object(value, "box", ("bandwidth_bps", "load"))
    ranges = {}
    for key, count in (("bandwidth_bps", tiers - 1), ("load", tiers)):
        path = f"box.{key}"
        pairs = [read_list(p, f"{path}[{i}]", 2, 2) for i, p in enumerate(read_list(fields[key], path, count, count))]
        ranges[key] = tuple(
            (read_number(a, path, positive=True), read_number(b, path, positive=True)) for a, b in pairs
        )
    return checked_box(SurfaceBox(ranges["bandwidth_bps"], ranges["load"]), tiers - 1, tiers)


def _read_entry(value: Any, path: str, tiers: tuple[str, ...], batches: tuple[int, ...]) -> SurfaceEntry:
    fields = read_object(value, path, ("digest", "fallback", "placement", "terms"), ("widths", "form"))
    placement = fields["placement"]
    if not isinstance(placement, dict) or not 0 < len(placement) <= _MAX_LAYERS:
        raise ProblemError(f"an object of 1 to {_MAX_LAYERS} layers is expected", f"{path}.placement")
    for layer, tier in placement.items():
        if tier not in tiers:
            raise ProblemError(f"{tier!r} is no tier", join(f"{path}.placement", layer))
    plan = Plan(placement, _read_widths(fields, path, placement), _read_form(fields, path))
    if plan.digest != fields["digest"]:
        raise ProblemError(f"the plan's digest is {plan.digest}", f"{path}.digest")
    if not isinstance(fields["fallback"], bool):
        raise ProblemError("true or false is expected", f"{path}.fallback")
    return SurfaceEntry(
        plan, _read_all_terms(fields["terms"], f"{path}.terms", len(tiers), batches), fields["fallback"]
    )


def _read_widths(fields: Mapping[str, Any], path: str, placement: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    widths, path = fields.get("widths", {}), f"{path}.widths"
    found = {}
    for layer, pair in read_object(widths, path, (), tuple(placement)).items():
        bits = [read_whole(b, join(path, layer), _MAX_BITS, 1) for b in read_list(pair, join(path, layer), 2, 2)]
        found[layer] = (bits[0], bits[1])
    return found


def _read_form(fields: Mapping[str, Any], path: str) -> RunForm:
    forms = [RunForm.INT8.value, RunForm.PACKED.value]
    if fields.get("form", forms[0]) not in forms:
        raise ProblemError(f"one of {', '.join(forms)} is expected", f"{path}.form")
    return RunForm(fields.get("form", forms[0]))


def _read_all_terms(value: Any, path: str, tiers: int, batches: tuple[int, ...]) -> Mapping[int, PlanTerms]:
    fields = read_object(value, path, (), [str(batch) for batch in batches])
    return {int(batch): _read_terms(terms, join(path, batch), tiers) for batch, terms in fields.items()}


def _read_terms(value: Any, path: str, tiers: int) -> PlanTerms:
    fields = read_object(value, path, ("compute_s", "link_bytes", "link_trips"))
    compute = read_list(fields["compute_s"], f"{path}.compute_s", tiers, tiers)
    sizes = read_list(fields["link_bytes"], f"{path}.link_bytes", tiers - 1, tiers - 1)
    trips = read_list(fields["link_trips"], f"{path}.link_trips", tiers - 1, tiers - 1)
    return PlanTerms(
        tuple(read_number(seconds, f"{path}.compute_s") for seconds in compute),
        tuple(read_whole(size, f"{path}.link_bytes", MAX_BYTES * _MAX_LAYERS) for size in sizes),
        tuple(read_whole(count, f"{path}.link_trips", 2) for count in trips),
    )
