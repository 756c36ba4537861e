"""Rating plans: the accuracy of each, measured on the validation data with the very segments that get deployed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnxruntime as ort

from tiersplit_bundle import Accuracies, Blob, Bundle, BundleSegment, extend, media
from tiersplit_bundle.accuracies import accuracies_to_json
from tiersplit_bundle.layout import canonical_json, file_digest
from tiersplit_core.errors import ModelError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_import.accuracy import accuracy, forward_accuracy
from tiersplit_import.calibrate import golden_pair
from tiersplit_import.metrics import OPTION, Comparison
from tiersplit_import.plan_run import PlanRun, Step, open_segment

Say = Callable[[str], None]
Keep = Callable[[Sequence[Blob]], None]
"""Stores ratings where another run finds them."""

_SHOWN = 19
"""Characters of a plan's digest that people are shown."""


def with_accuracy(bundle: Bundle, path: Path, metric: Comparison, say: Say = lambda _: None) -> Bundle:
    """The bundle with the model's own accuracy; that of the same data by the same metric is not measured again.

    Args:
        bundle: on disk, complete.
        path: an .npz file with samples in `x` and the truth in `y`.
        metric: how answers are compared with the truth.
        say: is told what it is.

    Raises:
        ModelError: the file or the model's outputs are something else.
    """
    found = whole_accuracy(bundle, path, metric)
    say(f"{metric.name} on the validation data: {found.whole:.2%}")
    if found == bundle.accuracies:
        return bundle
    return extend(bundle, [_blob(found)], annotations={media.ACCURACY: f"{found.whole:.6f}"})


def whole_accuracy(bundle: Bundle, path: Path, metric: Comparison) -> Accuracies:
    """What the bundle knows of this data by this metric, at least the model's own accuracy; as `with_accuracy`."""
    data = _digest(path)
    known = bundle.accuracies
    if known is not None and (known.metric, known.data, known.code) == (metric.name, data, metric.code):
        return known
    return Accuracies(metric.name, _finite(accuracy(bundle, path, metric), metric), {}, data, metric.code)


def rate(
    bundle: Bundle,
    plans: Sequence[Plan],
    path: Path,
    metric: Comparison,
    say: Say = lambda _: None,
    keep: Keep = lambda _: None,
) -> list[Blob]:
    """Measure those plans of a surface that quantise layers and whose accuracy the bundle does not know yet.

    A plan answers the same however finely a surface's other plans divide it, so what is known of it stays true.

    Args:
        bundle: complete, holds the segments of all plans.
        plans: all of the surface's; those without bit widths compute what the model computes, and are not measured.
        path: an .npz file with samples in `x` and the truth in `y`.
        metric: how answers are compared with the truth.
        say: is told what each plan's accuracy is.
        keep: is given all ratings so far after each plan but the last.

    Returns:
        The accuracies, with those that were known before, and what each of these plans answers to the golden inputs;
        nothing where all of it was known.

    Raises:
        BundleError: a segment was not cut, or is damaged.
        ModelError: the file or the model's outputs are something else.
    """
    known, rating = whole_accuracy(bundle, path, metric), _Rating(bundle, path, metric)
    specs, missing = segments_of(bundle.graph, plans), _unrated(bundle, known, plans)
    found: dict[str, _Rated] = {}
    for plan in missing:
        rated = found[plan.digest] = rating.of(PlanRun(bundle, plan, specs))
        about = f"plan {plan.digest[:_SHOWN]}, {len(found)} of {len(missing)}"
        say(f"{about}: {metric.name} {rated.accuracy:.2%}, the model's own {known.whole:.2%}")
        if len(found) < len(missing):
            keep(_blobs(bundle, known, found))
    return _blobs(bundle, known, found)


def _blobs(bundle: Bundle, known: Accuracies, found: Mapping[str, "_Rated"]) -> list[Blob]:
    made = replace(known, plans={**known.plans, **{name: rated.accuracy for name, rated in found.items()}})
    goldens = [Blob(media.PLAN_GOLDEN, rated.golden, {media.PLAN: name}) for name, rated in found.items()]
    return [*goldens, *([] if made == bundle.accuracies else [_blob(made)])]


def _unrated(bundle: Bundle, known: Accuracies, plans: Sequence[Plan]) -> list[Plan]:
    rated = known.plans.keys() & bundle.plan_goldens.keys()
    return [plan for plan in plans if plan.widths and plan.digest not in rated]


@dataclass(frozen=True, slots=True)
class _Rated:
    """What was measured of one plan: its accuracy, and its golden pair as a safetensors file."""

    accuracy: float
    golden: bytes


class _Rating:
    """Measures plans one after another; what several have in common is opened, and what is the same measured, once."""

    def __init__(self, bundle: Bundle, path: Path, metric: Comparison) -> None:
        self._bundle, self._path, self._metric = bundle, path, metric
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._found: dict[tuple[Step, ...], _Rated] = {}

    def of(self, run: PlanRun) -> _Rated:
        """The plan's accuracy and golden answers."""
        if run.steps not in self._found:
            ids = {step.segment.id for step in run.steps}
            self._sessions = {name: session for name, session in self._sessions.items() if name in ids}
            self._found[run.steps] = _Rated(self._accuracy(run), self._golden(run))
        return self._found[run.steps]

    def _accuracy(self, run: PlanRun) -> float:
        graph, opener = self._bundle.graph, self._opened
        found = forward_accuracy(lambda feeds: run(feeds, opener), graph, self._path, self._metric)
        return _finite(found, self._metric)

    def _golden(self, run: PlanRun) -> bytes:
        inputs, _ = self._bundle.golden()
        return golden_pair(inputs, run(inputs, self._opened))

    def _opened(self, segment: BundleSegment) -> ort.InferenceSession:
        if segment.id not in self._sessions:
            self._sessions[segment.id] = open_segment(self._bundle, segment)
        return self._sessions[segment.id]


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", str(path)) from error


def _finite(found: float, metric: Comparison) -> float:
    if not math.isfinite(found):
        raise ModelError(f"{metric.name} gives {found}, which is no accuracy", OPTION)
    return found


def _blob(accuracies: Accuracies) -> Blob:
    return Blob(media.ACCURACIES, canonical_json(accuracies_to_json(accuracies)))
