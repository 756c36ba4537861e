"""The Job that measures a bundle of a registry on a tier and pushes the profile there.

`python -m tiersplit_stage.measure_job --bundle oci://…@sha256:… --tier edge --threads 1 --batches 1,8 --push-tag …`
"""

import argparse
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from math import fsum
from pathlib import Path

from tiersplit_bundle import Blob, Bundle, media
from tiersplit_bundle.access import registry_access
from tiersplit_bundle.job_result import finish
from tiersplit_bundle.layout import canonical_json
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_core.errors import BundleError, InputError, OutOfMemoryError, ProfileError, TiersplitError
from tiersplit_core.profile.json import profile_to_json
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.profile.serving import ServingProfile
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.units import format_bytes
from tiersplit_stage.measure.forms import NO_FORMS, wanted_forms, with_forms
from tiersplit_stage.measure.machine import describe_machine
from tiersplit_stage.measure.room import room_bytes
from tiersplit_stage.measure.segments import measure_segments, running_order
from tiersplit_stage.measure.settings import Settings
from tiersplit_stage.measure.whole import measure_layers
from tiersplit_stage.processors import usable_processors

_MAX_BATCH = 1024
_WHOLE = frozenset({media.GRAPH, media.MODEL, media.WEIGHTS, media.GOLDEN})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the Job; its exit code."""
    options = _parser().parse_args(arguments)
    return finish(lambda: _measure(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tiersplit_stage.measure_job", description=__doc__)
    parser.add_argument("--bundle", required=True, metavar="oci://…@sha256:…", help="what is measured")
    parser.add_argument("--tier", required=True, help="the tier's name")
    parser.add_argument("--threads", type=int, default=0, help="as the stage has; 0: the processors it may use")
    parser.add_argument("--batches", default="1", metavar="1,2,…", help="batch sizes")
    parser.add_argument("--segments", default="", metavar="ID,…", help="these (by name or digest) instead of layers")
    parser.add_argument(
        "--forms",
        default="",
        metavar="int8,packed",
        help=f"layers in these quantised forms too; {NO_FORMS}: in none; default: in those that the bundle has",
    )
    parser.add_argument("--push-tag", required=True, help="under which the profile is found")
    parser.add_argument("--budget-s", type=float, default=2.0, help="seconds of runs per batch size")
    parser.add_argument("--memory-bytes", type=int, help="what the tier may hold; the container's limit counts too")
    parser.add_argument(
        "--serving-bytes",
        type=int,
        default=0,
        help="of the container's limit, what only the measuring of serving needs",
    )
    parser.add_argument("--registry-plain-http", action="store_true", help="the registry has no TLS")
    parser.add_argument("--registry-ca", type=Path, metavar="FILE", help="certificates that are trusted besides")
    parser.add_argument("--work", type=Path, metavar="DIRECTORY", help="for the bundle; default: the system's own")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _measure(options: argparse.Namespace) -> str:
    settings = _settings(options)
    access = registry_access(options.registry_plain_http, options.registry_ca)
    with Registry(Reference.parse(options.bundle, "--bundle"), access) as registry:
        found = registry.head(options.push_tag)
        if found is not None:
            _say(f"{registry.reference.at(options.push_tag)} is there already")
            return found.digest
        with tempfile.TemporaryDirectory(prefix="tiersplit-measure-", dir=options.work) as work:
            profile = _profile(registry, Path(work) / "bundle", settings, options)
        data = canonical_json(profile_to_json(profile))
        about = {media.TIER: settings.tier, "tiersplit.version": version("tiersplit")}
        return registry.push_artifact(Blob(media.PROFILE, data), media.PROFILE, options.push_tag, about)


def _settings(options: argparse.Namespace) -> Settings:
    sizes = [part.strip() for part in options.batches.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= _MAX_BATCH for part in sizes):
        raise InputError(
            f"{options.batches!r} is no list of batch sizes; write as in 1,8 (1 to {_MAX_BATCH})", "--batches"
        )
    room = room_bytes()
    limits = [options.memory_bytes, room if room is None else max(0, room - options.serving_bytes)]
    return Settings(
        tier=options.tier,
        threads=options.threads if options.threads > 0 else usable_processors(),
        batches=tuple(sorted({int(part) for part in sizes})),
        budget_s=options.budget_s,
        memory_bytes=min((limit for limit in limits if limit is not None), default=None),
        room_bytes=room,
    )


def _profile(registry: Registry, directory: Path, settings: Settings, options: argparse.Namespace) -> TierProfile:
    bundle = registry.pull_bundle(directory, blobs=())
    names = [name.strip() for name in options.segments.split(",") if name.strip()]
    if names:
        return _segments(registry, bundle, settings, names)
    return _layers(registry, bundle, settings, wanted_forms(options.forms, bundle))


def _layers(registry: Registry, known: Bundle, settings: Settings, forms: Collection[RunForm]) -> TierProfile:
    wanted = {entry.digest for entry in known.layers if entry.media_type in _WHOLE}
    wanted.update(known.forms[form].digest for form in forms)
    bundle = registry.pull_bundle(known.root, wanted)
    profile = with_forms(_as_they_are(bundle, settings), bundle, settings, forms, _say)
    _say_what_is_nowhere(profile)
    return replace(profile, serving=_serving(settings, known))


def _as_they_are(bundle: Bundle, settings: Settings) -> TierProfile:
    try:
        return measure_layers(bundle, settings, _say)
    except OutOfMemoryError as error:
        raise ProfileError(f"{error}; raise the tier's memory and resources.limits.memory", "spec.tiers") from error


def _say_what_is_nowhere(profile: TierProfile) -> None:
    """The layers that the tier can hold in none of the forms that were measured."""
    seen = profile.batches[min(profile.batches)]
    for name, needed in seen.unheld.items():
        if not any(name in timings for timings in seen.forms.values()):
            _say(f"tier {profile.tier!r} can hold {name!r} in no form: as it is it takes {format_bytes(needed)}")


def _serving(settings: Settings, known: Bundle) -> ServingProfile | None:
    """What is known of the layers is not lost where serving cannot be measured: plans are made without its costs."""
    from tiersplit_stage.measure.serving import measure_serving  # noqa: PLC0415 - gRPC takes room that layers need

    try:
        return measure_serving(settings, known.graph.input_bytes, _say)
    except TiersplitError as error:
        _say(f"serving is left out: {error}")
        return None


def _segments(registry: Registry, known: Bundle, settings: Settings, names: Sequence[str]) -> TierProfile:
    """A profile of segments alone: no layers, and as the whole what they take together."""
    bundle = registry.pull_bundle(known.root, {known.graph_digest})
    ids = _ids(bundle, names)
    chain = running_order(bundle, ids)
    bundle = registry.pull_bundle(known.root, bundle.needed_by(segment.id for segment in chain))
    measured = measure_segments(bundle, settings, _say, ids)
    return TierProfile(
        tier=settings.tier,
        kind=ProfileKind.MEASURED,
        graph=bundle.graph_digest,
        threads=settings.threads,
        machine=describe_machine(),
        batches={size: BatchProfile({}, _sum(found), found) for size, found in measured.items()},
    )


def _ids(bundle: Bundle, names: Sequence[str]) -> list[str]:
    known = {key: segment.id for segment in bundle.segments for key in (segment.id, segment.digest)}
    for name in names:
        if name not in known:
            raise BundleError(f"the bundle has no segment {name!r}; materialise its surface first", "--segments")
    return list(dict.fromkeys(known[name] for name in names))


def _sum(timings: Mapping[str, Timing]) -> Timing:
    return Timing(
        fsum(timing.median_s for timing in timings.values()),
        fsum(timing.spread_s for timing in timings.values()),
        min(timing.runs for timing in timings.values()),
    )


if __name__ == "__main__":
    sys.exit(main())
