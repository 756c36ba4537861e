"""When an import is done again: steps are taken for done only where they were."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tiersplit_api.v1alpha1 import parse_manifest
from tiersplit_core.errors import OperationError
from tiersplit_local import preparation
from tiersplit_local.workdir import WorkDir

MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {name: m}
spec:
  model: {source: {onnxUri: model.onnx}}
  tiers: [{name: edge}, {name: cloud}]
"""


class Importer:
    """Stands for `tiersplit import`: writes a bundle, or fails before or after it wrote something."""

    def __init__(self, folder: Path) -> None:
        self.manifest = folder / "split.yaml"
        self.source = folder / "model.onnx"
        self.source.write_bytes(b"1")
        self.work = WorkDir("m", folder / "runs")
        self.runs = 0
        self.fails = self.leaves_something = False

    def command(self, arguments: list[str], _log: Path) -> str:
        self.runs += 1
        bundle = Path(arguments[arguments.index("--bundle") + 1])
        assert not bundle.exists(), "what an earlier import made is in the way"
        if not self.fails or self.leaves_something:
            bundle.mkdir(parents=True)
            (bundle / "made-of").write_bytes(self.source.read_bytes())
        if self.fails:
            raise OperationError("the import failed")
        return ""

    def prepare(self) -> str:
        """Import as a run does; what the bundle was made of."""
        with self.work.locked():
            preparation._import(parse_manifest(MANIFEST), self.manifest, self.work, lambda _: None)
        return (self.work.bundle / "made-of").read_text()


@pytest.fixture
def importer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Importer:
    made = Importer(tmp_path)
    monkeypatch.setattr(preparation, "run_command", made.command)
    opened = SimpleNamespace(open=lambda _: SimpleNamespace(graph=SimpleNamespace(layers=())))
    monkeypatch.setattr(preparation, "Bundle", opened)
    return made


def test_an_import_of_the_same_bytes_is_done_once(importer: Importer) -> None:
    assert (importer.prepare(), importer.prepare()) == ("1", "1")
    assert importer.runs == 1


def test_other_bytes_are_imported_and_the_old_surface_is_made_again(importer: Importer) -> None:
    importer.prepare()
    importer.work.mark_done("surface", "of the first")
    importer.source.write_bytes(b"2")
    assert importer.prepare() == "2"
    assert not importer.work.is_done("surface", "of the first")


@pytest.mark.parametrize("leaves_something", [False, True])
def test_a_failed_import_is_never_taken_for_done(importer: Importer, leaves_something: bool) -> None:
    importer.prepare()
    importer.source.write_bytes(b"2")
    importer.fails, importer.leaves_something = True, leaves_something
    with pytest.raises(OperationError):
        importer.prepare()
    importer.fails = False
    assert importer.prepare() == "2"
    importer.source.write_bytes(b"1")
    assert importer.prepare() == "1", "what the failed one had replaced is gone"
    assert importer.runs == 4


def test_a_bundle_that_somebody_removed_is_made_again(importer: Importer) -> None:
    importer.prepare()
    (importer.work.bundle / "made-of").unlink()
    importer.work.bundle.rmdir()
    assert importer.prepare() == "1"
