"""The problem of design §4.1 as JSON: reading, checking, writing.

Batch sizes: a plain number of seconds, and all bytes next to plain numbers, hold at the problem's `batch` as given.
Where `seconds` maps tiers to objects batch → seconds, `input_bytes` and `output_bytes` are those of one sample: bytes
are multiplied by `batch`, and seconds are those of the polyline through the batch sizes that are given.
"""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import fields as fields_of
from itertools import pairwise
from typing import Any

from tiersplit_core.cost.problem import (
    INPUT,
    Link,
    MemoryModel,
    Objective,
    Problem,
    ProblemLayer,
    Serving,
    Tier,
    Variant,
)
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.json_fields import (
    MAX_BYTES,
    join,
    parse_json,
    read_list,
    read_name,
    read_number,
    read_object,
    read_whole,
)
from tiersplit_core.planning.variants_json import read_transmission_bits, read_variants, variants_to_json
from tiersplit_core.profile.batches import interpolate

MAX_LAYERS = 10_000
MAX_READS = 1_000
MAX_BATCH = 65_536
MAX_SECONDS = 1e9
MIN_TIERS, MAX_TIERS = 2, 6

_LATER_PROBLEM = {
    "stage_seconds": "give seconds per layer",
    "exits": "leave it out; every request runs all layers",
}
_ONLY = {"resident": "plan", "placement_order": "forward"}
_QUANTISATION = ("transmission_bits", "memory_model", "max_distortion")
_OPTIONAL = ("objective", "raw_input_tier", "result_tier", "batch", *_QUANTISATION)


def problem_from_text(text: str) -> Problem:
    """The problem in a JSON document.

    Raises:
        ProblemError: it is no JSON or no problem; `path` names the place.
    """
    return problem_from_json(parse_json(text))


def problem_from_json(value: Any, batch: int | None = None) -> Problem:
    """The problem of a parsed JSON document.

    Args:
        value: what `parse_json` gave.
        batch: a batch size instead of the document's; only where it gives seconds per batch size.

    Raises:
        ProblemError: a field is wrong; `path` is its JSON path.
    """
    document = read_object(value, "", ("graph", "tiers", "links"), (*_OPTIONAL, *_ONLY), _LATER_PROBLEM)
    for key, only in _ONLY.items():
        if document.get(key, only) != only:
            raise ProblemError(f"not supported: {document[key]!r}; write {only!r} or leave it out", key)
    tiers = _read_tiers(document["tiers"])
    own_batch = read_whole(document.get("batch", 1), "batch", MAX_BATCH, 1)
    batch = own_batch if batch is None else read_whole(batch, "batch", MAX_BATCH, 1)
    graph = read_object(document["graph"], "graph", ("input_bytes", "layers", "outputs"))
    layers, per_sample = _read_layers(graph["layers"], [tier.name for tier in tiers], batch)
    if not per_sample and batch != own_batch:
        raise ProblemError(f"its seconds are those of batch size {own_batch}; give seconds per batch size", "batch")
    input_bytes = read_whole(graph["input_bytes"], "graph.input_bytes")
    return Problem(
        layers=layers,
        outputs=_read_outputs(graph["outputs"], {layer.name for layer in layers}),
        input_bytes=_scaled(input_bytes, batch if per_sample else 1, "graph.input_bytes"),
        tiers=tiers,
        links=_read_links(document["links"], tiers),
        objective=_read_objective(document.get("objective", "latency")),
        raw_input_tier=_read_first_tier(document.get("raw_input_tier"), "raw_input_tier", tiers),
        result_tier=_read_first_tier(document.get("result_tier"), "result_tier", tiers),
        batch=batch,
        transmission_bits=read_transmission_bits(document.get("transmission_bits"), layers),
        memory_model=_read_memory_model(document.get("memory_model", MemoryModel.WORKING_SET.value)),
        max_distortion=_read_max_distortion(document.get("max_distortion")),
    )


def problem_to_json(problem: Problem) -> dict[str, Any]:
    """The JSON document of a problem, with plain seconds at its batch size."""
    layers = [
        {
            "name": layer.name,
            "inputs": list(layer.inputs),
            "output_bytes": layer.output_bytes,
            "weight_bytes": layer.weight_bytes,
            "seconds": dict(layer.seconds),
        }
        | ({} if layer.elements is None else {"elements": layer.elements})
        | ({"variants": variants_to_json(layer.variants)} if layer.variants else {})
        for layer in problem.layers
    ]
    return {
        "graph": {"input_bytes": problem.input_bytes, "layers": layers, "outputs": list(problem.outputs)},
        "tiers": [
            {"name": tier.name}
            | ({} if tier.memory_bytes is None else {"memory_bytes": tier.memory_bytes})
            | ({} if tier.serving == Serving() else {"serving": asdict(tier.serving)})
            for tier in problem.tiers
        ],
        "links": [
            {
                "from": link.source,
                "to": link.target,
                "bandwidth_bps": link.bandwidth_bps,
                "latency_s": link.latency_s,
            }
            for link in problem.links
        ],
        "objective": problem.objective.value,
        "raw_input_tier": problem.raw_input_tier,
        "result_tier": problem.result_tier,
        "batch": problem.batch,
    } | _quantisation_to_json(problem)


def _quantisation_to_json(problem: Problem) -> dict[str, Any]:
    """The fields about bits and their memory that differ from what holds without them."""
    written: dict[str, Any] = {}
    if problem.transmission_bits:
        written["transmission_bits"] = dict(problem.transmission_bits)
    if problem.memory_model is not MemoryModel.WORKING_SET:
        written["memory_model"] = problem.memory_model.value
    if problem.max_distortion is not None:
        written["max_distortion"] = problem.max_distortion
    return written


def _read_tiers(value: Any) -> tuple[Tier, ...]:
    tiers: list[Tier] = []
    for i, entry in enumerate(read_list(value, "tiers", MIN_TIERS, MAX_TIERS)):
        path = f"tiers[{i}]"
        fields = read_object(entry, path, ("name",), ("memory_bytes", "serving"))
        name = read_name(fields["name"], f"{path}.name")
        if name in {tier.name for tier in tiers}:
            raise ProblemError(f"the name {name!r} is taken", f"{path}.name")
        limit = fields.get("memory_bytes")
        limit = None if limit is None else read_whole(limit, f"{path}.memory_bytes", 2**62)
        tiers.append(Tier(name, limit, _read_serving(fields.get("serving", {}), f"{path}.serving")))
    return tuple(tiers)


def _read_serving(value: Any, path: str) -> Serving:
    seconds = read_object(value, path, (), [field.name for field in fields_of(Serving)])
    return Serving(**{name: _read_seconds(given, join(path, name)) for name, given in seconds.items()})


def _read_links(value: Any, tiers: tuple[Tier, ...]) -> tuple[Link, ...]:
    order = {(a.name, b.name): i for i, (a, b) in enumerate(pairwise(tiers))}
    found: dict[int, Link] = {}
    for i, entry in enumerate(read_list(value, "links", 0, len(tiers) - 1)):
        path = f"links[{i}]"
        fields = read_object(entry, path, ("from", "to", "bandwidth_bps", "latency_s"))
        ends = (read_name(fields["from"], f"{path}.from"), read_name(fields["to"], f"{path}.to"))
        if ends not in order:
            known = ", ".join(f"{a} to {b}" for a, b in order)
            raise ProblemError(f"{ends[0]} to {ends[1]} joins no neighbouring tiers; these do: {known}", path)
        if order[ends] in found:
            raise ProblemError(f"the link {ends[0]} to {ends[1]} is given twice", path)
        bandwidth = read_number(fields["bandwidth_bps"], f"{path}.bandwidth_bps", positive=True)
        found[order[ends]] = Link(*ends, bandwidth, _read_seconds(fields["latency_s"], f"{path}.latency_s"))
    for ends, i in order.items():
        if i not in found:
            raise ProblemError(f"the link from {ends[0]} to {ends[1]} is missing", "links")
    return tuple(found[i] for i in range(len(order)))


def _read_layers(value: Any, tiers: list[str], batch: int) -> tuple[tuple[ProblemLayer, ...], bool]:
    """The layers, and whether their bytes are given per sample."""
    layers: list[ProblemLayer] = []
    forms: set[bool] = set()
    known = {INPUT}
    for i, entry in enumerate(read_list(value, "graph.layers", 1, MAX_LAYERS)):
        path = f"graph.layers[{i}]"
        required = ("name", "inputs", "output_bytes", "weight_bytes", "seconds")
        fields = read_object(entry, path, required, ("elements", "variants"))
        name = read_name(fields["name"], f"{path}.name")
        if name in known:
            raise ProblemError(f"the name {name!r} is taken", f"{path}.name")
        seconds, per_batch = _read_layer_seconds(fields["seconds"], f"{path}.seconds", tiers, batch)
        forms.add(per_batch)
        if len(forms) > 1:
            raise ProblemError("either all seconds are numbers or all are objects of batch sizes", f"{path}.seconds")
        layers.append(
            ProblemLayer(
                name,
                _read_inputs(fields["inputs"], f"{path}.inputs", known),
                _scaled(
                    read_whole(fields["output_bytes"], f"{path}.output_bytes"),
                    batch if per_batch else 1,
                    f"{path}.output_bytes",
                ),
                read_whole(fields["weight_bytes"], f"{path}.weight_bytes"),
                seconds,
                _read_elements(fields, path, batch if per_batch else 1),
                _read_layer_variants(fields, path, tiers, batch, per_batch),
            )
        )
        known.add(name)
    return tuple(layers), True in forms


def _read_elements(fields: Mapping[str, Any], path: str, factor: int) -> int | None:
    if "elements" not in fields:
        return None
    return _scaled(read_whole(fields["elements"], f"{path}.elements"), factor, f"{path}.elements")


def _read_layer_variants(
    fields: Mapping[str, Any], path: str, tiers: list[str], batch: int, per_batch: bool
) -> tuple[Variant, ...]:
    if "variants" not in fields:
        return ()

    def read(value: Any, place: str) -> float:
        if isinstance(value, dict) != per_batch:
            raise ProblemError("seconds are given as the layer's own are: all numbers, or all per batch size", place)
        return _read_batch_seconds(value, place, batch) if per_batch else _read_seconds(value, place)

    variants = read_variants(fields["variants"], f"{path}.variants", tiers, read)
    if "elements" not in fields:
        raise ProblemError("missing; variants need it", f"{path}.elements")
    return variants


def _scaled(size: int, factor: int, path: str) -> int:
    if size * factor > MAX_BYTES:
        raise ProblemError(f"{size} times the batch size {factor} is more than {MAX_BYTES}", path)
    return size * factor


def _read_inputs(value: Any, path: str, known: set[str]) -> tuple[str, ...]:
    names: list[str] = []
    for i, entry in enumerate(read_list(value, path, 1, MAX_READS)):
        name = read_name(entry, f"{path}[{i}]")
        if name not in known:
            raise ProblemError(f"{name!r} is neither 'input' nor a layer before this one", f"{path}[{i}]")
        if name in names:
            raise ProblemError(f"{name!r} is listed twice", f"{path}[{i}]")
        names.append(name)
    return tuple(names)


def _read_layer_seconds(value: Any, path: str, tiers: list[str], batch: int) -> tuple[Mapping[str, float], bool]:
    fields = read_object(value, path, tiers)
    forms = {isinstance(seconds, dict) for seconds in fields.values()}
    if len(forms) > 1:
        raise ProblemError("either all tiers have a number or all have an object of batch sizes", path)
    per_batch = True in forms
    read = _read_batch_seconds if per_batch else _read_seconds_at
    return {tier: read(fields[tier], join(path, tier), batch) for tier in tiers}, per_batch


def _read_seconds(value: Any, path: str) -> float:
    seconds = read_number(value, path)
    if seconds > MAX_SECONDS:
        raise ProblemError(f"{value} s are more than {MAX_SECONDS:.0e} s", path)
    return seconds


def _read_seconds_at(value: Any, path: str, batch: int) -> float:  # noqa: ARG001 - a number holds at any batch size
    return _read_seconds(value, path)


def _read_batch_seconds(value: Mapping[str, Any], path: str, batch: int) -> float:
    points: dict[int, float] = {}
    for key, seconds in value.items():
        if not key.isascii() or not key.isdecimal() or not 1 <= len(key) <= 5 or int(key) == 0:
            raise ProblemError("a batch size is a whole number of at least 1", join(path, key))
        if int(key) in points:
            raise ProblemError(f"the batch size {int(key)} is given twice", join(path, key))
        points[int(key)] = _read_seconds(seconds, join(path, key))
    if not points:
        raise ProblemError("seconds at one batch size at least are expected", path)
    return interpolate(points, batch)


def _read_outputs(value: Any, layers: set[str]) -> tuple[str, ...]:
    names: list[str] = []
    for i, entry in enumerate(read_list(value, "graph.outputs", 1, MAX_LAYERS)):
        name = read_name(entry, f"graph.outputs[{i}]")
        if name not in layers:
            raise ProblemError(f"no layer is called {name!r}", f"graph.outputs[{i}]")
        if name in names:
            raise ProblemError(f"{name!r} is listed twice", f"graph.outputs[{i}]")
        names.append(name)
    return tuple(names)


def _read_objective(value: Any) -> Objective:
    if value not in [objective.value for objective in Objective]:
        raise ProblemError(f"'latency' or 'throughput' is expected, not {value!r}", "objective")
    return Objective(value)


def _read_memory_model(value: Any) -> MemoryModel:
    known = [model.value for model in MemoryModel]
    if value not in known:
        raise ProblemError(f"{' or '.join(map(repr, known))} is expected, not {value!r}", "memory_model")
    return MemoryModel(value)


def _read_max_distortion(value: Any) -> float | None:
    return None if value is None else read_number(value, "max_distortion")


def _read_first_tier(value: Any, path: str, tiers: tuple[Tier, ...]) -> str | None:
    if value is not None and value != tiers[0].name:
        raise ProblemError(f"the first tier ({tiers[0].name!r}) or null is expected, not {value!r}", path)
    return None if value is None else tiers[0].name
