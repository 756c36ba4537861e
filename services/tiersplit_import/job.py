"""The import room's Jobs: import a model into a registry; cut the segments of a surface there, and rate its plans.

`python -m tiersplit_import.job import|materialise …`; how they end is told by `tiersplit_bundle.job_result`.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from tiersplit_api.v1alpha1.model import Model, Validation
from tiersplit_bundle import Blob, Bundle, extend, media
from tiersplit_bundle.access import registry_access
from tiersplit_bundle.job_result import finish
from tiersplit_bundle.layout import MAX_DOCUMENT_BYTES, parse_document
from tiersplit_bundle.reference import Reference, is_reference
from tiersplit_bundle.registry import Registry
from tiersplit_core.errors import BundleError, ManifestError, ModelError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.planning.surface_json import surface_from_json
from tiersplit_core.units import format_bytes, parse_quantity
from tiersplit_import.chain import check_chain
from tiersplit_import.fetch import Limits, fetch
from tiersplit_import.from_manifest import SOURCE, Fetch, request_of
from tiersplit_import.metrics import OPTION as METRIC_OPTION
from tiersplit_import.metrics import comparison
from tiersplit_import.pipeline import import_model
from tiersplit_import.rating import Keep, rate, with_accuracy
from tiersplit_import.segments import missing_segments

_NOT_READ = frozenset({media.PROFILE, media.STATISTICS, media.PLAN_GOLDEN})
"""What cutting and rating leave in the registry."""

_VALIDATION = "spec.model.validation"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one Job; its exit code."""
    options = _parser().parse_args(arguments)
    work = _import if options.job == "import" else _materialise
    return finish(lambda: work(options))


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--registry-plain-http", action="store_true", help="the registry has no TLS")
    common.add_argument("--registry-ca", type=Path, metavar="FILE", help="certificates that are trusted besides")
    common.add_argument("--max-bytes", default="32Gi", metavar="QUANTITY", help="of one file that is fetched")
    common.add_argument("--work", type=Path, metavar="DIRECTORY", help="for files; default: the system's own")
    parser = argparse.ArgumentParser(prog="tiersplit_import.job", description=__doc__)
    jobs = parser.add_subparsers(dest="job", required=True)
    bring = jobs.add_parser("import", parents=[common], help="from a model to a bundle in a registry")
    bring.add_argument("--model", type=Path, required=True, metavar="FILE", help='{"name": …, "model": spec.model}')
    bring.add_argument("--push", required=True, metavar="oci://…", help="the repository")
    bring.add_argument("--tag", required=True, help="under which the bundle is found")
    cut = jobs.add_parser("materialise", parents=[common], help="cut the segments of a surface, rate its plans")
    cut.add_argument("--bundle", required=True, metavar="oci://…@sha256:…", help="has the surface")
    cut.add_argument("--push-tag", required=True, help="under which the bundle with segments is found")
    cut.add_argument("--model", type=Path, metavar="FILE", help="import's; its validation data rate plans")
    return parser


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class _Progress:
    """Says every tenth of a transfer."""

    def __init__(self, what: str) -> None:
        self._what, self._tenths = what, 0

    def __call__(self, done: int, total: int) -> None:
        tenths = 10 * done // max(total, 1)
        if tenths > self._tenths:
            self._tenths = tenths
            _say(f"{self._what}: {format_bytes(done)} of {format_bytes(total)}")


class _Steps:
    """Says each step of an import once: a log keeps every line, and a layer or a batch of samples is worth none."""

    def __init__(self) -> None:
        self._step = ""

    def __call__(self, text: str) -> None:
        step = text.split(maxsplit=1)[0].rstrip(":")
        if step != self._step:
            self._step = step
            _say(text)


def _open(reference: Reference, options: argparse.Namespace) -> Registry:
    return Registry(reference, registry_access(options.registry_plain_http, options.registry_ca))


# import


def _import(options: argparse.Namespace) -> str:
    name, model = _read_model(options.model)
    with _open(Reference.parse(options.push, "--push").at(options.tag), options) as registry:
        found = registry.head()
        if found is not None:
            _say(f"{registry.reference} is there already")
            return found.digest
        with tempfile.TemporaryDirectory(prefix="tiersplit-import-", dir=options.work) as work:
            bundle = _bundle_of(name, model, options, Path(work))
            lender = _lender(model, registry.reference)
            return registry.push_bundle(bundle, mount_from=lender, report=_Progress("pushing"))


def _read_model(path: Path) -> tuple[str, Model]:
    try:
        with path.open("rb") as file:
            value = parse_document(file.read(MAX_DOCUMENT_BYTES + 1), str(path))
        return str(value["name"]), Model.model_validate(value["model"])
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", str(path)) from error
    except KeyError as error:
        raise ManifestError(f"the field {error} is missing", str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ManifestError(first["msg"], ".".join(("spec.model", *map(str, first["loc"])))) from error


def _bundle_of(name: str, model: Model, options: argparse.Namespace, work: Path) -> Bundle:
    get = _fetching(options, work)
    if model.source.bundle is not None:
        return _rated(_given_bundle(model.source.bundle, options, work), model.validation, get)
    request = request_of(name, model, get)
    try:
        made = import_model(request.source, work / "bundle", request.options, _Steps())
    except ModelError as error:
        raise request.in_manifest(error) from error
    for warning in made.warnings:
        _say(f"warning: {warning}")
    return _rated(Bundle.open(made.path), model.validation, get)


def _fetching(options: argparse.Namespace, work: Path) -> Fetch:
    limits = Limits(max_bytes=parse_quantity(options.max_bytes, "--max-bytes"))
    return lambda uri, file, field: fetch(uri, work / file, field, limits, say=_say).path


def _rated(bundle: Bundle, validation: Validation, get: Fetch) -> Bundle:
    """The bundle with its accuracy on the validation data, where there is any."""
    if validation.uri is None:
        return bundle
    data = get(validation.uri, "validation.npz", f"{_VALIDATION}.uri")
    with _in_manifest(validation, data):
        return with_accuracy(bundle, data, comparison(validation.metric_name), _say)


@contextmanager
def _in_manifest(validation: Validation, data: Path) -> Iterator[None]:
    """What is wrong with the validation data or the metric is told by the manifest's field."""
    try:
        yield
    except ModelError as error:
        fields = {str(data): "uri", METRIC_OPTION: "metric" if validation.function is None else "function"}
        field = next((field for path, field in fields.items() if error.path.startswith(path)), None)
        if field is None:
            raise
        raise ManifestError(error.reason, f"{_VALIDATION}.{field}") from error


def _given_bundle(source: str, options: argparse.Namespace, work: Path) -> Bundle:
    field = f"{SOURCE}.bundle"
    if not is_reference(source):
        raise ManifestError("write oci://host/repository:tag, as `tiersplit import --push` prints it", field)
    reference = Reference.parse(source, field)
    try:
        with _open(reference, options) as registry:
            return registry.pull_bundle(work / "bundle", report=_Progress("pulling"))
    except BundleError as error:
        raise ManifestError(str(error), field) from error


def _lender(model: Model, target: Reference) -> str | None:
    """The repository of the same registry that has the blobs already."""
    given = model.source.bundle
    source = Reference.parse(given) if given is not None and is_reference(given) else None
    return source.repository if source is not None and source.host == target.host else None


# materialise


def _materialise(options: argparse.Namespace) -> str:
    with _open(Reference.parse(options.bundle, "--bundle"), options) as registry:
        found = registry.head(options.push_tag)
        if found is not None:
            _say(f"{registry.reference.at(options.push_tag)} is there already")
            return found.digest
        with tempfile.TemporaryDirectory(prefix="tiersplit-materialise-", dir=options.work) as work:
            begun = registry.reference.at(_part_tag(options))
            if registry.head(_part_tag(options)) is None:
                return _cut(registry, options, Path(work))
            _say(f"going on where {begun} ended")
            with _open(begun, options) as part:
                return _cut(part, options, Path(work))


def _part_tag(options: argparse.Namespace) -> str:
    """Where a Job that is ended at its deadline leaves the ratings that it had: another one goes on from there."""
    return f"{options.push_tag}-part"


def _cut(registry: Registry, options: argparse.Namespace, work: Path) -> str:
    known = registry.pull_bundle(work / "bundle", blobs=())
    chosen = {entry.digest for entry in known.layers if entry.media_type not in _NOT_READ}
    bundle = registry.pull_bundle(work / "bundle", chosen, _Progress("pulling"))
    surface = surface_from_json(bundle.read_json(media.SURFACE))
    wanted = segments_of(bundle.graph, surface.plans)
    blobs = missing_segments(bundle, wanted)
    _say(f"cut {sum(blob.media_type == media.SEGMENT for blob in blobs)} of {len(wanted)} segments")
    cut = extend(bundle, blobs) if blobs else bundle
    difference = check_chain(cut, surface.plans)
    if difference is not None:
        _say(f"the segments compute what the model computes, to {difference.relative:.1e}")

    def keep(ratings: Sequence[Blob]) -> None:
        registry.extend([*blobs, *ratings], _part_tag(options), bundle.digest)

    ratings = _ratings(cut, surface.plans, options, work, keep)
    return registry.extend([*blobs, *ratings], options.push_tag, bundle.digest)


def _ratings(bundle: Bundle, plans: Sequence[Plan], options: argparse.Namespace, work: Path, keep: Keep) -> list[Blob]:
    """What the validation data say of plans that quantise layers; nothing is fetched where there are none."""
    if options.model is None or not any(plan.widths for plan in plans):
        return []
    _, model = _read_model(options.model)
    if model.validation.uri is None:
        return []
    data = _fetching(options, work)(model.validation.uri, "validation.npz", f"{_VALIDATION}.uri")
    with _in_manifest(model.validation, data):
        return rate(bundle, plans, data, comparison(model.validation.metric_name), _say, keep)


if __name__ == "__main__":
    sys.exit(main())
