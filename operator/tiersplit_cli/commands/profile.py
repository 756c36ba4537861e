"""`tiersplit profile`: how long each layer and segment of a bundle takes on a tier."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiersplit_cli.batch_sizes import parse_batches
from tiersplit_cli.files import read_json, read_text, write_json
from tiersplit_cli.output import Format, OutputOption, emit, progress, say
from tiersplit_cli.pushing import CaOption, PlainHttpOption, PushOption, push_profile, target
from tiersplit_core.errors import InputError, ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from tiersplit_bundle.bundle import Bundle
    from tiersplit_core.profile.layers import BatchProfile, TierProfile
    from tiersplit_core.quantization.forms import RunForm
    from tiersplit_stage.measure.settings import Settings

_MAX_BATCH = 1024
_SLOWEST_ROWS = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("profile")(profile)


def profile(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command line
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="The bundle that is measured.")],
    tier: Annotated[str | None, typer.Option(help="The tier's name; default edge, or that of --simulate.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Intra-op threads, as the stage will have.")] = 1,
    batches: Annotated[str, typer.Option(help="Batch sizes, separated by commas.")] = "1,2,4,8,16,32,64",
    budget_s: Annotated[float, typer.Option(min=0.01, max=3600, help="Seconds of runs per batch size.")] = 2.0,
    slowdown: Annotated[float, typer.Option(min=1, max=1000, help="Factor of an emulated tier.")] = 1.0,
    memory: Annotated[
        str | None, typer.Option(help="What the tier may hold, such as 64Mi; larger models go in chunks.")
    ] = None,
    forms: Annotated[
        str | None,
        typer.Option(help="Layers in these quantised forms too: int8,packed, or none; default: all that it has."),
    ] = None,
    segments: Annotated[bool, typer.Option("--segments", help="Measure the bundle's segments as they run.")] = False,
    segment: Annotated[list[str] | None, typer.Option(help="Only this segment; may be repeated.")] = None,
    base: Annotated[Path | None, typer.Option("--profile", help="A profile to which segments are added.")] = None,
    simulate: Annotated[
        str | None, typer.Option(help="eyeriss, tpu, or a tier's YAML file: calculate instead of measuring.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the profile to this file.")] = None,
    push: PushOption = None,
    plain_http: PlainHttpOption = False,
    ca_file: CaOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Measure (or simulate) a tier: seconds per layer, segment and batch size, and memory."""
    from tiersplit_bundle.bundle import Bundle  # noqa: PLC0415 - --help needs none of this
    from tiersplit_core.profile.json import profile_to_json  # noqa: PLC0415
    from tiersplit_core.units import parse_quantity  # noqa: PLC0415

    sizes = parse_batches(batches, _MAX_BATCH)
    if simulate is not None and (segments or segment or base or forms):
        raise InputError("a simulated tier measures nothing; leave out --forms, --segments and --profile", "--simulate")
    to = None if push is None else target(push)
    opened = Bundle.open(bundle)
    if simulate is not None:
        found = _simulated(opened, simulate, tier, sizes)
    else:
        limit = None if memory is None else parse_quantity(memory, "--memory")
        settings = _settings(tier or "edge", threads, sizes, budget_s, slowdown, limit)
        wanted = _Wanted(base, _forms(opened, forms, base), segments or bool(segment), segment)
        found = _measured(opened, settings, wanted)
    value = profile_to_json(found)
    if save is not None:
        write_json(save, value)
    if to is not None:
        say(f"pushed: {push_profile(found, opened, to, plain_http, ca_file)}")
    emit(value, output, lambda: _table(found))


def _settings(
    tier: str, threads: int, sizes: tuple[int, ...], budget_s: float, slowdown: float, limit: int | None
) -> "Settings":
    from tiersplit_stage.measure.settings import Settings  # noqa: PLC0415

    return Settings(tier, threads, sizes, budget_s, slowdown, limit)


def _simulated(bundle: "Bundle", hardware: str, tier: str | None, sizes: tuple[int, ...]) -> "TierProfile":
    from tiersplit_core.profile.systolic import ARRAYS, simulate_array  # noqa: PLC0415

    if hardware in ARRAYS:
        return simulate_array(bundle.graph, ARRAYS[hardware], sizes, bundle.graph_digest, tier)
    return _roofline(bundle, Path(hardware), tier, sizes)


def _roofline(bundle: "Bundle", path: Path, tier: str | None, sizes: tuple[int, ...]) -> "TierProfile":
    import yaml  # noqa: PLC0415

    from tiersplit_core.profile.simulate import simulate, tier_from_mapping  # noqa: PLC0415

    try:
        value = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ProfileError(f"this is no YAML: {error}", str(path)) from error
    described = tier_from_mapping({**value, "name": tier} if tier and isinstance(value, dict) else value)
    return simulate(bundle.graph, described, sizes, bundle.graph_digest)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is measured: everything about layers, or what is added to the profile in the file `base`."""

    base: Path | None
    forms: "tuple[RunForm, ...]"
    segments: bool
    ids: list[str] | None


def _forms(bundle: "Bundle", text: str | None, base: Path | None) -> "tuple[RunForm, ...]":
    """A profile to which something is added gets only the forms that are named."""
    from tiersplit_stage.measure.forms import NO_FORMS, wanted_forms  # noqa: PLC0415

    return wanted_forms(text or (NO_FORMS if base is not None else ""), bundle)


def _measured(bundle: "Bundle", settings: "Settings", wanted: _Wanted) -> "TierProfile":
    from tiersplit_core.profile.refine import merge_segments  # noqa: PLC0415
    from tiersplit_stage.measure.forms import with_forms  # noqa: PLC0415
    from tiersplit_stage.measure.segments import measure_segments  # noqa: PLC0415

    with _steps(f"profiling {settings.tier}", _count(settings, wanted)) as step:
        found = _tier(bundle, settings, step) if wanted.base is None else _load(wanted.base, bundle, settings)
        found = with_forms(found, bundle, settings, wanted.forms, step)
        if wanted.segments:
            found = merge_segments(found, measure_segments(bundle, settings, step, wanted.ids))
    return found


def _count(settings: "Settings", wanted: _Wanted) -> int:
    """Steps that are told: one per batch size of each thing, and one for serving."""
    return len(settings.batches) * ((wanted.base is None) + len(wanted.forms) + wanted.segments) + (wanted.base is None)


def _tier(bundle: "Bundle", settings: "Settings", step: Callable[[str], None]) -> "TierProfile":
    """Layers, and what requests cost besides."""
    from tiersplit_stage.measure.serving import measure_serving  # noqa: PLC0415
    from tiersplit_stage.measure.whole import measure_layers  # noqa: PLC0415

    found = measure_layers(bundle, settings, step)
    return replace(found, serving=measure_serving(settings, bundle.graph.input_bytes, step))


def _load(path: Path, bundle: "Bundle", settings: "Settings") -> "TierProfile":
    """A profile to which segments can be added: of this graph, and measured in the same way."""
    from tiersplit_core.profile.json import profile_from_json  # noqa: PLC0415
    from tiersplit_core.profile.layers import ProfileKind  # noqa: PLC0415

    found = profile_from_json(read_json(path), bundle.graph, bundle.graph_digest)
    asked = (ProfileKind.MEASURED, settings.tier, settings.threads, settings.slowdown)
    if (found.kind, found.tier, found.threads, found.slowdown) != asked:
        raise ProfileError(
            f"it is {found.kind.value} for tier {found.tier!r} with {found.threads} threads and slowdown "
            f"{found.slowdown:g}; give the same --tier, --threads and --slowdown, or profile again",
            str(path),
        )
    return found


@contextmanager
def _steps(title: str, total: int) -> "Iterator[Callable[[str], None]]":
    with progress() as bar:
        task = bar.add_task(title, total=total)

        def step(text: str) -> None:
            bar.update(task, advance=1, description=f"{title}: {text}")
            if "left out" in text or text.endswith("chunks"):
                say(f"[yellow]{text}[/yellow]")

        yield step


def _whole_in(seen: "BatchProfile", form: "RunForm") -> str:
    from tiersplit_core.units import format_seconds  # noqa: PLC0415

    timings = seen.forms.get(form)
    return "" if timings is None else format_seconds(fsum(timing.median_s for timing in timings.values()))


def _table(found: "TierProfile") -> "Table":
    from rich.table import Table  # noqa: PLC0415

    from tiersplit_core.units import format_bytes, format_seconds  # noqa: PLC0415

    sizes = sorted(found.batches)
    slowed = f", {found.slowdown:g}× slower" if found.slowdown != 1 else ""
    title = f"{found.tier}: {found.kind.value}, {found.threads} threads{slowed}, {found.machine.get('cpu', '')}"
    table = Table("what", *(f"batch {size}" for size in sizes), title=title.rstrip(", "))
    seen = [found.batches[size] for size in sizes]
    table.add_row(
        "whole model", *(f"{format_seconds(b.whole.median_s)} ± {format_seconds(b.whole.spread_s / 2)}" for b in seen)
    )
    for form in dict.fromkeys(form for b in seen for form in b.forms):
        table.add_row(f"whole model, {form}", *(_whole_in(b, form) for b in seen))
    table.add_row("memory", *(format_bytes(b.memory_bytes) for b in seen), end_section=found.serving is None)
    if found.serving is not None:
        for name in ("request", "send", "receive"):
            fixed_s = getattr(found.serving, name).fixed_s
            table.add_row(f"serving: {name}", format_seconds(fixed_s), end_section=name == "receive")
    for name in dict.fromkeys(name for b in seen for name in b.segments):
        table.add_row(name, *(format_seconds(b.segments[name].median_s) if name in b.segments else "" for b in seen))
    slowest = sorted(seen[0].layers, key=lambda name: -seen[0].layers[name].median_s)[:_SLOWEST_ROWS]
    table.add_section()
    for name in [name for name in seen[0].layers if name in set(slowest)]:
        table.add_row(name, *(format_seconds(b.layers[name].median_s) for b in seen))
    if len(seen[0].layers) > len(slowest):
        table.caption = (
            f"the {len(slowest)} slowest of {len(seen[0].layers)} layers, in running order; all with -o json"
        )
    return table
