"""Everything before serving: import, profile, surface, segments, and again until estimate and measurement agree."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tiersplit_api.v1alpha1.types import SplitDeployment
from tiersplit_bundle.bundle import Bundle
from tiersplit_core.errors import OperationError
from tiersplit_core.planning.build import problem_from_profiles
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.problem import Link, Objective, Problem, Tier
from tiersplit_core.planning.segments import SegmentSpec, segments_of
from tiersplit_core.planning.surface import Surface, SurfaceBox, build_surface
from tiersplit_core.planning.surface_json import surface_from_json, surface_to_json
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.profile.layers import BatchProfile, TierProfile
from tiersplit_core.profile.refine import disagreement, emulate, refine
from tiersplit_core.units import format_seconds
from tiersplit_local.catalogue import Catalogue
from tiersplit_local.observer import UNLIMITED_BPS
from tiersplit_local.settings import LocalLink, LocalSettings
from tiersplit_local.steps import Say, import_arguments, local_file, run_command, source_key
from tiersplit_local.workdir import WorkDir, file_key, key_of, read_json, write_json

MACHINE = "machine"
"""The name under which this machine is profiled once; each tier is that, slowed down by its factor."""
AGREEMENT = 0.10
MAX_ROUNDS = 4
EPSILON = 0.01
MAX_PLANS = 8
LOADS = (0.5, 4.0)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run serves: the bundle with all segments, and the plans."""

    bundle: Bundle
    catalogue: Catalogue


def prepare(
    resource: SplitDeployment, manifest: Path, settings: LocalSettings, threads: int, work: WorkDir, say: Say
) -> Prepared:
    """Do all steps that were not done before for the same inputs.

    Raises:
        TiersplitError: a step failed.
    """
    _import(resource, manifest, work, say)
    preparation = _Preparation(settings, threads, work, say)
    preparation.profile_layers()
    return preparation.plan()


def _import(resource: SplitDeployment, manifest: Path, work: WorkDir, say: Say) -> None:
    model = resource.spec.model
    if model.source.bundle is not None:
        given = local_file(model.source.bundle, manifest, "spec.model.source.bundle")
        key = key_of(["bundle", str(given), Bundle.open(given).digest])
        if not _is_imported(work, key):
            _replace(work, lambda: shutil.copytree(given, work.bundle))
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
    def __init__(self, settings: LocalSettings, threads: int, work: WorkDir, say: Say) -> None:
        self.settings, self.threads, self.work, self.say = settings, threads, work, say
        self.bundle = Bundle.open(work.bundle)
        self.graph = self.bundle.graph
        self.machine_file = work.profile(MACHINE)

    def profile_layers(self) -> None:
        """Measure this machine, once."""
        batches = ",".join(map(str, self.settings.batches))
        key = key_of([self.bundle.graph_digest, self.threads, batches])
        if not (self.work.is_done("profile", key) and self.machine_file.exists()):
            self.say(f"profile: measuring layers at batch {batches}")
            self._profile(["--batches", batches])
            self.work.mark_done("profile", key)
        whole = self._machine().batches[self.settings.batches[0]].whole.median_s
        self.say(f"profile: the whole model takes {format_seconds(whole)} on this machine")

    def _profile(self, options: list[str]) -> None:
        arguments = ["profile", "--bundle", str(self.work.bundle), "--tier", MACHINE, "--threads", str(self.threads)]
        arguments += ["--save", str(self.machine_file), "-o", "json", *options]
        run_command(arguments, self.work.logs / "profile.log", self.threads)

    def _machine(self) -> TierProfile:
        return profile_from_json(json.loads(self.machine_file.read_text()), self.graph, self.bundle.graph_digest)

    def plan(self) -> Prepared:
        """Plan, cut, measure the segments, and plan with their seconds until both agree."""
        key = self._surface_key()
        if self.work.is_done("surface", key) and self.work.surface.exists():
            surface, machine = surface_from_json(read_json(self.work.surface)), self._refined()
            self.say(f"surface: {len(surface.plans)} plans, as before")
        else:
            surface, machine = self._agree()
            self.work.mark_done("surface", self._surface_key())
        blobs = {segment.id: segment.digest for segment in self.bundle.segments}
        tiers = tuple(tier.name for tier in self.settings.tiers)
        return Prepared(self.bundle, Catalogue(self.graph, tiers, surface, self._tiers(machine), blobs))

    def _surface_key(self) -> str:
        tiers = [(tier.name, tier.memory_bytes, tier.slowdown) for tier in self.settings.tiers]
        links = [(link.source, link.target, link.bandwidth_bps, link.latency_s) for link in self.settings.links]
        flags = [self.settings.objective, self.settings.raw_input_stays, self.settings.result_returns]
        return key_of(
            [self.bundle.graph_digest, file_key(self.machine_file), tiers, links, flags, self.settings.batches]
        )

    def _agree(self) -> tuple[Surface, TierProfile]:
        machine = self._machine()
        for _ in range(MAX_ROUNDS):
            surface = self._surface(machine)
            specs = segments_of(self.graph, surface.plans)
            self._materialise(surface, specs)
            self._measure(specs)
            machine = replace(machine, batches=_with_segments(machine.batches, self._machine().batches))
            layers = self._layers(specs)
            off = disagreement(machine, layers)
            machine = refine(self.graph, machine, layers)
            self.say(f"segments: {len(specs)} measured, at most {off:.0%} off the estimate")
            if off <= AGREEMENT:
                break
        write_json(self.work.path / "profile-refined.json", profile_to_json(machine))
        return self._rated(surface, specs, machine), machine

    def _rated(self, surface: Surface, specs: tuple[SegmentSpec, ...], machine: TierProfile) -> Surface:
        """The surface with measured seconds, where they leave it the segments that were cut."""
        again = self._surface(machine)
        if {spec.id for spec in segments_of(self.graph, again.plans)} != {spec.id for spec in specs}:
            return surface
        write_json(self.work.surface, surface_to_json(again))
        return again

    def _refined(self) -> TierProfile:
        value = read_json(self.work.path / "profile-refined.json")
        return profile_from_json(value, self.graph, self.bundle.graph_digest)

    def _surface(self, machine: TierProfile) -> Surface:
        tiers = self._tiers(machine)
        problems = {batch: self._problem(tiers, batch) for batch in self.settings.batches}
        limited = any(tier.memory_bytes is not None for tier in self.settings.tiers)
        loads = () if limited else tuple(LOADS for _ in self.settings.tiers)
        ranges = [_range(link) for link in self.settings.links]
        keep = self._wanted(problems, ranges)
        surface = build_surface(problems, SurfaceBox(tuple(ranges), loads), EPSILON, MAX_PLANS, keep=keep)
        self.say(f"surface: {len(surface.plans)} plans, at most {surface.epsilon:.1%} from the best")
        return surface

    def _wanted(self, problems: Mapping[int, Problem], ranges: list[tuple[float, float]]) -> list[Plan]:
        """Plans that stay whatever pruning thinks.

        Links mostly change one at a time: what is best while one link varies and the others are as declared. And the
        last tier alone, to compare with; edge-only is in every surface as it is.
        """
        links = problems[self.settings.batches[0]].links
        found = [Plan({layer.name: self.settings.tiers[-1].name for layer in self.graph.layers})]
        if self.settings.objective is not Objective.LATENCY:
            return found
        for varying, own in enumerate(ranges):
            fixed = [(link.bandwidth_bps, link.bandwidth_bps) for link in links]
            line = SurfaceBox((*fixed[:varying], own, *fixed[varying + 1 :]))
            found += build_surface(problems, line, EPSILON, MAX_PLANS // 2).plans
        return found

    def _problem(self, profiles: Mapping[str, TierProfile], batch: int) -> Problem:
        settings, first = self.settings, self.settings.tiers[0].name
        return problem_from_profiles(
            self.graph,
            profiles,
            tiers=tuple(Tier(tier.name, tier.memory_bytes) for tier in settings.tiers),
            links=tuple(
                Link(link.source, link.target, link.bandwidth_bps or UNLIMITED_BPS, link.latency_s)
                for link in settings.links
            ),
            objective=settings.objective,
            raw_input_tier=first if settings.raw_input_stays else None,
            result_tier=first if settings.result_returns else None,
            batch=batch,
        )

    def _tiers(self, machine: TierProfile) -> dict[str, TierProfile]:
        return {tier.name: emulate(machine, tier.name, tier.slowdown) for tier in self.settings.tiers}

    def _materialise(self, surface: Surface, specs: tuple[SegmentSpec, ...]) -> None:
        write_json(self.work.surface, surface_to_json(surface))
        if not {spec.id for spec in specs} <= {segment.id for segment in self.bundle.segments}:
            self.say(f"segments: cutting {len(specs)}")
            arguments = ["materialise", "--bundle", str(self.work.bundle), "--surface", str(self.work.surface)]
            run_command(arguments, self.work.logs / "materialise.log")
            self.bundle = Bundle.open(self.work.bundle)
        lacking = {spec.id for spec in specs} - {segment.id for segment in self.bundle.segments}
        if lacking:
            raise OperationError(f"segment {min(lacking)} was not cut; see {self.work.logs / 'materialise.log'}")

    def _measure(self, specs: tuple[SegmentSpec, ...]) -> None:
        batches = self._machine().batches
        missing = [digest for digest in self._layers(specs) if any(digest not in b.segments for b in batches.values())]
        if missing:
            ids = {segment.digest: segment.id for segment in self.bundle.segments}
            chosen = [part for digest in missing for part in ("--segment", ids[digest])]
            sizes = ",".join(map(str, self.settings.batches))
            self._profile(["--profile", str(self.machine_file), "--segments", *chosen, "--batches", sizes])

    def _layers(self, specs: tuple[SegmentSpec, ...]) -> dict[str, tuple[str, ...]]:
        """Layers per digest of the ONNX file of each segment."""
        digests = {segment.id: segment.digest for segment in self.bundle.segments}
        return {digests[spec.id]: spec.layers for spec in specs}


def _range(link: LocalLink) -> tuple[float, float]:
    """Bandwidths that a link may come to have."""
    declared = link.bandwidth_bps or UNLIMITED_BPS
    return min(declared / 100, 1e5), max(declared * 10, 1e9)


def _with_segments(
    batches: Mapping[int, BatchProfile], measured: Mapping[int, BatchProfile]
) -> dict[int, BatchProfile]:
    return {size: replace(seen, segments=measured[size].segments) for size, seen in batches.items()}
