"""Everything before serving: import, profile, surface, segments, ratings, and again until all of it agrees."""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tiersplit_api.v1alpha1.types import SplitDeployment
from tiersplit_bundle.bundle import Bundle
from tiersplit_control.catalogue import Catalogue
from tiersplit_control.quality import Quality, quality_of, wanted_forms
from tiersplit_control.surfaces import (
    Check,
    Profiles,
    Round,
    Settled,
    check_round,
    first_round,
    next_round,
    open_work,
    settle,
)
from tiersplit_control.words import accuracy_text, below_minimum, bits_text, fewer_bits_hint, form_text
from tiersplit_core.errors import ManifestError, OperationError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import SegmentSpec
from tiersplit_core.planning.surface import Surface, surface_from_json, surface_to_json
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.profile.layers import TierProfile
from tiersplit_core.profile.refine import emulate
from tiersplit_core.units import format_seconds
from tiersplit_local.given_bundle import given_bundle
from tiersplit_local.settings import LocalSettings
from tiersplit_local.steps import Say, import_arguments, run_command, source_key, validation_arguments
from tiersplit_local.workdir import WorkDir, file_key, key_of, read_json, write_json

MACHINE = "machine"
"""The name under which this machine is profiled once; each tier is that, slowed down by its factor."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run serves: the bundle with all segments, and the plans."""

    bundle: Bundle
    catalogue: Catalogue


def prepare(resource: SplitDeployment, manifest: Path, settings: LocalSettings, work: WorkDir, say: Say) -> Prepared:
    """Do all steps that were not done before for the same inputs.

    Raises:
        TiersplitError: a step failed.
    """
    _import(resource, manifest, work, say)
    preparation = _Preparation(resource, manifest, settings, work, say)
    preparation.check_accuracy()
    preparation.profile_layers()
    return preparation.plan()


def _import(resource: SplitDeployment, manifest: Path, work: WorkDir, say: Say) -> None:
    model = resource.spec.model
    if model.source.bundle is not None:
        given = given_bundle(model.source.bundle, manifest, say)
        key = key_of(given.key)
        if not _is_imported(work, key):
            _replace(work, lambda: given.bring(work.bundle))
    else:
        arguments = import_arguments(model, resource.metadata.name, work.bundle, manifest)
        key = key_of(source_key(model, arguments))
        if not _is_imported(work, key):
            say("import: exporting, folding and verifying the model")
            _replace(work, lambda: run_command(arguments, work.logs / "import.log"))
    work.mark_done("import", key)
    say(f"import: {len(Bundle.open(work.bundle).graph.layers)} layers")


def _is_imported(work: WorkDir, key: str) -> bool:
    return work.is_done("import", key) and work.bundle.is_dir()


def _replace(work: WorkDir, make: Callable[[], object]) -> None:
    # The segments that an earlier surface had cut lie in the bundle that goes; and should `make` fail, nothing is done.
    work.mark_done("surface", "")
    work.mark_done("import", "")
    shutil.rmtree(work.bundle, ignore_errors=True)
    make()


class _Preparation:
    def __init__(
        self, resource: SplitDeployment, manifest: Path, settings: LocalSettings, work: WorkDir, say: Say
    ) -> None:
        self.spec, self.manifest = resource.spec, manifest
        self.settings, self.intent, self.work, self.say = settings, settings.intent, work, say
        self.bundle = Bundle.open(work.bundle)
        self.graph = self.bundle.graph
        self.machine_file = work.profile(MACHINE)

    def quality(self) -> Quality:
        """What the bundle says about accuracy, as the manifest compares answers."""
        return quality_of(self.spec.model.validation, self.bundle.quantization, self.bundle.accuracies)

    def check_accuracy(self) -> None:
        """Refuse a minimum that the model itself does not reach, and say what fewer bits would need.

        Raises:
            ManifestError: the model is below `spec.accuracy.min`.
        """
        quality = self.quality()
        if quality.whole is not None:
            self.say(f"accuracy: the model reaches {accuracy_text(quality.whole)}")
        if reason := below_minimum(quality.whole, self.spec.accuracy):
            raise ManifestError(reason, "spec.accuracy.min")
        calibrated, rated = quality.statistics is not None, self.bundle.accuracies is not None
        if hint := fewer_bits_hint(self.spec, calibrated=calibrated, rated=rated):
            self.say(f"accuracy: only lossless plans; {hint}")

    def profile_layers(self) -> None:
        """Measure this machine, once."""
        batches = ",".join(map(str, self.intent.batches))
        wanted = wanted_forms(self.intent) if self.quality().may_quantise(self.intent) else ()
        forms = [form for form in wanted if form in self.bundle.forms]
        key = key_of([self.bundle.graph_digest, self.settings.threads, batches, *forms])
        if not (self.work.is_done("profile", key) and self.machine_file.exists()):
            self.say(f"profile: measuring layers at batch {batches}")
            self._profile(["--batches", batches, "--forms", ",".join(forms) or "none"])
            self.work.mark_done("profile", key)
        whole = self._machine().batches[self.intent.batches[0]].whole.median_s
        self.say(f"profile: the whole model takes {format_seconds(whole)} on this machine")

    def _profile(self, options: list[str]) -> None:
        threads = self.settings.threads
        arguments = ["profile", "--bundle", str(self.work.bundle), "--tier", MACHINE, "--threads", str(threads)]
        arguments += ["--save", str(self.machine_file), "-o", "json", *options]
        run_command(arguments, self.work.logs / "profile.log", threads)

    def _machine(self) -> TierProfile:
        return self._read_profile(json.loads(self.machine_file.read_text()))

    def _read_profile(self, value: Any) -> TierProfile:
        return profile_from_json(value, self.graph, self.bundle.graph_digest)

    def plan(self) -> Prepared:
        """Plan, cut, measure the segments, and plan with their seconds until both agree."""
        key = self._surface_key()
        if self.work.is_done("surface", key) and self.work.surface.exists() and self.work.refined.exists():
            surface = surface_from_json(read_json(self.work.surface))
            profiles = {tier: self._read_profile(value) for tier, value in read_json(self.work.refined).items()}
            self.say(f"surface: {len(surface.plans)} plans, as before")
        else:
            settled = self._agree()
            surface, profiles = settled.surface, dict(settled.profiles)
            self.work.mark_done("surface", self._surface_key())
        tiers, blobs = self.intent.tier_names, self._blobs()
        return Prepared(self.bundle, Catalogue(self.graph, tiers, surface, profiles, blobs, self.quality()))

    def _surface_key(self) -> str:
        intent = self.intent
        tiers = [(tier.name, tier.memory_bytes, self.settings.slowdowns[tier.name]) for tier in intent.tiers]
        links = [(link.source, link.target, link.bandwidth_bps, link.latency_s) for link in intent.links]
        flags = [intent.objective, intent.raw_input_stays, intent.result_returns]
        narrow = [intent.weight_bits, intent.activation_bits, self.quality().least(intent)]
        measured = [self.bundle.graph_digest, file_key(self.machine_file)]
        return key_of([*measured, tiers, links, flags, intent.batches, narrow])

    def _agree(self) -> Settled:
        current = self._rated(lambda quality: first_round(self.graph, self._tiers(), self.intent, quality))
        while True:
            self._announce(current.surface)
            self._materialise(current)
            self._measure(current)
            check = check_round(self.graph, current, self._tiers(), self._blobs())
            self.say(f"segments: {len(current.specs)} measured, at most {check.off:.0%} off the estimate")
            if check.settled:
                break
            current = self._rated(partial(self._after, current, check))
        settled = settle(self.graph, current, check, self.intent, self.quality())
        self._announce(settled.surface)
        write_json(self.work.refined, {tier: profile_to_json(profile) for tier, profile in settled.profiles.items()})
        write_json(self.work.surface, surface_to_json(settled.surface))
        return settled

    def _after(self, before: Round, check: Check, quality: Quality) -> Round:
        return next_round(self.graph, before, check, self.intent, quality)

    def _rated(self, make: Callable[[Quality], Round]) -> Round:
        """The round that `make` gives once the accuracy of all its plans is known."""
        current = make(self.quality())
        while current.unrated:
            self._materialise(current)
            self._say_accuracies(current.unrated)
            current = make(self.quality())
        return current

    def _say_accuracies(self, plans: Iterable[Plan]) -> None:
        quality = self.quality()
        for plan in plans:
            if plan.digest not in quality.accuracies:
                raise OperationError(f"plan {plan.digest} was not rated; see {self.work.logs / 'materialise.log'}")
            first = self.intent.tier_names[0]
            layers = f"{len(plan.layers_on(first))} of {len(plan.placement)} layers on {first}"
            narrow = f"{len(plan.widths)} of them {bits_text(plan)} {form_text(plan)}"
            self.say(f"accuracy: {layers}, {narrow}: {accuracy_text(quality.accuracies[plan.digest])} right")

    def _announce(self, surface: Surface) -> None:
        self.say(f"surface: {len(surface.plans)} plans, at most {surface.epsilon:.1%} from the best")

    def _tiers(self) -> Profiles:
        """The tiers as measured so far: this machine, slowed down."""
        machine = self._machine()
        return {tier: emulate(machine, tier, factor) for tier, factor in self.settings.slowdowns.items()}

    def _blobs(self) -> dict[str, str]:
        """Digest of the ONNX file per id of a segment that was cut."""
        return {segment.id: segment.digest for segment in self.bundle.segments}

    def _materialise(self, current: Round) -> None:
        write_json(self.work.surface, surface_to_json(current.surface))
        if self._uncut(current) or current.unrated:
            rating = f", rating {len(current.unrated)} plans" if current.unrated else ""
            self.say(f"segments: cutting {len(current.specs)}{rating}")
            arguments = ["materialise", "--bundle", str(self.work.bundle), "--surface", str(self.work.surface)]
            arguments += validation_arguments(self.spec.model, self.manifest) if current.unrated else []
            run_command(arguments, self.work.logs / "materialise.log")
            self.bundle = Bundle.open(self.work.bundle)
        if lacking := self._uncut(current):
            raise OperationError(f"segment {lacking[0].id} was not cut; see {self.work.logs / 'materialise.log'}")

    def _uncut(self, current: Round) -> tuple[SegmentSpec, ...]:
        blobs = self._blobs()
        return tuple(spec for spec in current.specs if spec.id not in blobs)

    def _measure(self, current: Round) -> None:
        work = open_work(current, self._tiers(), self._blobs(), self.intent)
        missing = dict.fromkeys(segment for ids in work.unmeasured.values() for segment in ids)
        if missing:
            chosen = [part for segment in missing for part in ("--segment", segment)]
            sizes = ",".join(map(str, self.intent.batches))
            self._profile(["--profile", str(self.machine_file), "--segments", *chosen, "--batches", sizes])
