"""What a run does before it serves where the first tier may use fewer bits; its steps are played in this process."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.calibrated import validation
from tests.support.quantised_cnn import quantised_cnn
from tests.support.surfaces import made_up_profile
from tiersplit_api.v1alpha1 import parse_manifest
from tiersplit_bundle import Bundle, extend
from tiersplit_core.errors import ManifestError, OperationError
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.planning.surface import surface_from_json
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.profile.layers import Timing
from tiersplit_core.profile.refine import merge_forms, merge_segments
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.metrics import comparison
from tiersplit_import.rating import rate, with_accuracy
from tiersplit_import.segments import missing_segments
from tiersplit_local import preparation
from tiersplit_local.preparation import Prepared, prepare
from tiersplit_local.settings import local_settings
from tiersplit_local.workdir import WorkDir

LAYER_S, QUICK_S = 1e-3, 3e-4
MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata:
  name: m
  annotations: {{tiersplit.dev/local-slowdown: "edge=10"}}
spec:
  model:
    source: {{bundle: given}}
    validation: {validation}
  accuracy: {accuracy}
  tiers: [{{name: edge, weightBits: {bits}}}, {{name: cloud}}]
  links: [{{from: edge, to: cloud, bandwidth: 1M}}]
"""


@dataclass
class Machine:
    """Stands for the commands of a run: a layer takes a millisecond, and a third of it in integers."""

    folder: Path
    rates: bool = True
    commands: list[Sequence[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def command(self, arguments: Sequence[str], _log: Path, _threads: int = 1) -> str:
        self.commands.append(arguments)
        bundle = Bundle.open(arguments[arguments.index("--bundle") + 1])
        (self._profile if arguments[0] == "profile" else self._materialise)(bundle, arguments)
        return ""

    def _profile(self, bundle: Bundle, arguments: Sequence[str]) -> None:
        file = Path(arguments[arguments.index("--save") + 1])
        if "--segment" in arguments:
            known = profile_from_json(json.loads(file.read_text()), bundle.graph, bundle.graph_digest)
            seconds = {s.digest: QUICK_S if RunForm.INT8 in s.id else LAYER_S for s in bundle.segments}
            timings = {s.digest: Timing(seconds[s.digest] * len(s.layers)) for s in bundle.segments}
            found = merge_segments(known, {1: timings})
        else:
            found = made_up_profile(bundle.graph, bundle.graph_digest, "machine", LAYER_S)
            wanted = arguments[arguments.index("--forms") + 1].split(",")
            forms = {
                RunForm(form): dict.fromkeys(bundle.graph.index, Timing(QUICK_S)) for form in wanted if form != "none"
            }
            found = merge_forms(found, {1: forms})
        file.write_text(json.dumps(profile_to_json(replace(found, tier="machine"))))

    def _materialise(self, bundle: Bundle, arguments: Sequence[str]) -> None:
        value = json.loads(Path(arguments[arguments.index("--surface") + 1]).read_text())
        plans = surface_from_json(value).plans
        blobs = missing_segments(bundle, segments_of(bundle.graph, plans))
        cut = extend(bundle, blobs) if blobs else bundle
        if "--validation" in arguments and self.rates:
            data, metric = (arguments[arguments.index(option) + 1] for option in ("--validation", "--metric"))
            extend(cut, rate(cut, plans, Path(data), comparison(metric)))

    def prepare(self, accuracy: str = "{maxDrop: 20%}", data: str = "{uri: v.npz}", bits: str = "[8, 32]") -> Prepared:
        """What a run of such a manifest serves."""
        resource = parse_manifest(MANIFEST.format(accuracy=accuracy, validation=data, bits=bits))
        work = WorkDir("m", self.folder / "runs")
        with work.locked():
            manifest = self.folder / "split.yaml"
            return prepare(resource, manifest, local_settings(resource, 1), work, self.said.append)

    def count(self, command: str) -> int:
        return sum(arguments[0] == command for arguments in self.commands)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    bundle = quantised_cnn(tmp_path / "given")
    with_accuracy(bundle, validation(bundle, tmp_path / "v.npz"), comparison("Top1"))
    made = Machine(tmp_path)
    monkeypatch.setattr(preparation, "run_command", made.command)
    return made


def test_plans_of_fewer_bits_are_cut_rated_and_kept_where_they_are_accurate(machine: Machine) -> None:
    catalogue = machine.prepare().catalogue
    narrow = [plan for plan in catalogue.plans.values() if plan.widths]
    assert narrow
    assert all((catalogue.accuracy(plan.digest) or 0) >= 0.8 for plan in narrow)
    assert any("W8A8 int8: " in line for line in machine.said)
    profiled = machine.commands[0]
    assert profiled[profiled.index("--forms") + 1] == "int8"


def test_what_was_rated_once_is_not_rated_again_and_another_drop_is_planned_for(machine: Machine) -> None:
    first = machine.prepare()
    done = len(machine.commands)
    assert machine.prepare().catalogue.plans == first.catalogue.plans
    assert len(machine.commands) == done, "everything was there"
    strict = machine.prepare("{min: 100%}").catalogue
    assert all(strict.accuracy(digest) == 1.0 for digest in strict.plans)


WITHOUT = {
    "without validation data": ({"data": "{}"}, "write spec.model.validation.uri"),
    "with the model's own widths alone": ({"bits": "[32]"}, ""),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_layers_run_as_they_are(case: str, machine: Machine) -> None:
    changes, hint = WITHOUT[case]
    assert not any(plan.widths for plan in machine.prepare(**changes).catalogue.plans.values())
    assert machine.commands[0][machine.commands[0].index("--forms") + 1] == "none"
    hints = [line for line in machine.said if "only lossless plans" in line]
    assert len(hints) == bool(hint)
    assert all(hint in line for line in hints)


def test_a_plan_that_is_not_rated_ends_the_run_instead_of_being_asked_for_without_end(machine: Machine) -> None:
    machine.rates = False
    with pytest.raises(OperationError, match="was not rated"):
        machine.prepare()
    assert machine.count("materialise") == 1


def test_a_minimum_that_the_model_itself_misses_is_refused_before_anything_is_measured(machine: Machine) -> None:
    data = machine.folder / "wrong.npz"
    bundle = Bundle.open(machine.folder / "given")
    validation(bundle, data, seed=9)
    known = dict(np.load(data))
    np.savez(data, x=known["x"], y=(known["y"] + 1) % 10)
    with_accuracy(bundle, data, comparison("Top1"))
    with pytest.raises(ManifestError, match=r"the model reaches 0.00%, spec.accuracy.min asks for 50%") as caught:
        machine.prepare("{min: 50%}")
    assert caught.value.path == "spec.accuracy.min"
    assert machine.commands == []
