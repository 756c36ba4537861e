"""What a Job says when it ends."""

import json

import pytest

from tiersplit_bundle.job_result import EXIT_BAD_INPUT, MAX_BYTES, finish
from tiersplit_core.errors import InputError


@pytest.mark.parametrize("letter", ["x", "é", "\x01", "\U0001f600", "\udc80"])
def test_however_long_and_strange_an_error_is_its_message_is_whole_json_and_fits(tmp_path, letter):
    def work():
        raise InputError(letter * 5000, letter * 5000)

    log = tmp_path / "log"
    assert finish(work, {"TIERSPLIT_TERMINATION_FILE": str(log)}) == EXIT_BAD_INPUT
    assert log.stat().st_size <= MAX_BYTES
    said = json.loads(log.read_bytes())
    assert said["error"].endswith("…")
    assert len(said["error"]) > 100
    assert (bool(said["field"]), said["retry"]) == (True, False)
