import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from tests.support import models
from tiersplit_core.errors import ModelError
from tiersplit_import.program_file import load_program


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.mark,)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "chain.pt2"
    torch.export.save(torch.export.export(models.chain().eval(), (torch.randn(2, 3, 16, 16),)), path)
    return path


def with_record(path: Path, replace: str, content: bytes, name: str | None = None) -> Path:
    """A copy of the archive in which the first record whose name contains `replace` has other content (and name)."""
    changed = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as new:
        target = next(entry for entry in old.namelist() if replace in entry)
        for entry in old.namelist():
            new.writestr((name or entry) if entry == target else entry, content if entry == target else old.read(entry))
    return changed


def test_a_saved_program_is_read(saved: Path) -> None:
    assert isinstance(load_program(saved), torch.export.ExportedProgram)


def test_example_inputs_that_would_run_code_are_refused_and_do_not_run(saved: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    trapped = with_record(saved, "sample_inputs", pickle.dumps(Trap(mark)))
    with pytest.raises(ModelError):
        load_program(trapped)
    assert not mark.exists()


def test_objects_of_users_classes_are_refused_by_name(saved: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    trapped = with_record(saved, "sample_inputs", pickle.dumps(Trap(mark)), "chain/data/constants/opaque_obj_0")
    with pytest.raises(ModelError, match="opaque_obj_0"):
        load_program(trapped)
    assert not mark.exists()
