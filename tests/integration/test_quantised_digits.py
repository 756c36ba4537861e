"""The digits network with fewer bits: eight cost next to nothing, two do not work, and what runs is what was rated."""

import json
import subprocess
import sys

import pytest

from examples.digits import store
from tests.support import cluster_digits
from tiersplit_bundle import Bundle, extend
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.accuracy import accuracy
from tiersplit_import.evaluation import quantised_accuracy
from tiersplit_import.metrics import comparison
from tiersplit_import.quantise import Widths
from tiersplit_import.rating import rate
from tiersplit_import.segments import materialise

# Who comes first trains the network: a minute, or several where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
VALIDATION = store.folder() / store.VALIDATION
TOP1 = comparison("Top1")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The trained network, imported from the command line with its calibration data; trained the first time."""
    cluster_digits.pictures()
    path = tmp_path_factory.mktemp("digits") / "digits.bundle"
    command = [sys.executable, "-m", "tiersplit_cli", "import", "examples.digits.model:trained", "--name", "digits"]
    command += ["--input", "pixels:FP32:-1x3x96x96", "--wire-datatype", "UINT8", "--bundle", str(path), "-o", "json"]
    command += ["--calibration", str(store.folder() / store.CALIBRATION), "--clip", "mse", "--distortion", "mse"]
    done = subprocess.run(command, cwd=store.ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "digits"
    return Bundle.open(path)


def _drop(bundle: Bundle, widths: Widths) -> float:
    everywhere = dict.fromkeys(bundle.graph.index, widths)
    return accuracy(bundle, VALIDATION, TOP1) - quantised_accuracy(bundle, everywhere, VALIDATION, TOP1)


def test_eight_bits_cost_half_a_percent_at_most_and_two_bits_visibly_more(bundle: Bundle) -> None:
    assert _drop(bundle, Widths(8, 8)) <= 0.005
    assert _drop(bundle, Widths(2, 2)) > 0.05


def test_four_bits_cost_less_than_two_and_more_than_eight(bundle: Bundle) -> None:
    drops = [_drop(bundle, Widths(bits, bits)) for bits in (2, 4, 8)]
    assert drops == sorted(drops, reverse=True)
    assert drops[1] < 0.05


@pytest.mark.parametrize("form", [RunForm.INT8, RunForm.PACKED])
def test_a_deployed_head_is_rated_as_it_runs(form: RunForm, bundle: Bundle) -> None:
    names = list(bundle.graph.index)
    edge = names[: names.index("front.2.conv") + 1]
    placement = {name: "edge" if name in edge else "cloud" for name in names}
    bits = [{**dict.fromkeys(edge, (4, 8)), edge[-1]: (4, crossing)} for crossing in (8, 1)]
    plans = [Plan(placement, widths, form) for widths in bits]
    held = materialise(bundle.root, segments_of(bundle.graph, plans))
    found = extend(held, rate(held, plans, VALIDATION, TOP1)).accuracies
    assert found is not None
    assert found.whole - found.plans[plans[0].digest] <= 0.03
    assert found.whole - found.plans[plans[1].digest] > 0.05
