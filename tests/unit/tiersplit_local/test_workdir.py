"""The directory of a run: locked, cached by what matters, replaced atomically."""

import multiprocessing
from pathlib import Path

import pytest

from tests.support.patience import START_S
from tiersplit_core.errors import OperationError
from tiersplit_local.workdir import WorkDir, key_of, read_json, write_json


def test_a_step_is_done_only_for_the_same_key(tmp_path: Path) -> None:
    work = WorkDir("a", tmp_path)
    with work.locked():
        assert not work.is_done("import", "1")
        work.mark_done("import", "1")
        work.mark_done("profile", "2")
        assert work.is_done("import", "1")
        assert not work.is_done("import", "2")


def _hold(root: Path, ready: "multiprocessing.synchronize.Event", done: "multiprocessing.synchronize.Event") -> None:
    work = WorkDir("a", root)
    with work.locked():
        write_json(work.running, {"pid": 4711})
        ready.set()
        done.wait(START_S)


def test_a_second_run_of_the_same_name_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(START_S)
    with pytest.raises(OperationError, match=r"a is running already \(pid 4711\)"), WorkDir("a", tmp_path).locked():
        pass
    with WorkDir("b", tmp_path).locked():
        pass
    done.set()
    holder.join(START_S)
    with WorkDir("a", tmp_path).locked():
        pass


def test_clearing_forgets_everything_but_the_lock(tmp_path: Path) -> None:
    work = WorkDir("a", tmp_path)
    with work.locked():
        work.bundle.mkdir()
        work.mark_done("import", "1")
        work.clear()
        assert not work.is_done("import", "1")
        assert sorted(path.name for path in work.path.iterdir()) == ["lock", "logs"]


def test_what_an_ended_step_had_begun_to_write_is_removed_and_the_rest_stays(tmp_path: Path) -> None:
    work = WorkDir("a", tmp_path)
    with work.locked():
        (work.path / ".bundle.k3j2").mkdir()
        (work.path / ".bundle.k3j2" / "oci-layout").write_text("{}")
        (work.path / ".surface.json.77").write_text("[")
        work.surface.write_text("{}")
    assert sorted(path.name for path in work.path.iterdir()) == ["lock", "logs", "surface.json"]


def test_keys_depend_on_values_not_on_order() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_a_damaged_file_of_an_earlier_run_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert read_json(path) == {}


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    socket = WorkDir("a", deep).socket_path()
    assert len(str(socket)) < 100
    assert WorkDir("a", Path("/short")).socket_path() == Path("/short/a/control.sock")
