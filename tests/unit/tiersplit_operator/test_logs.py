"""Logs are one JSON object per line."""

import json
import logging
import sys

from tiersplit_operator.logs import JsonFormatter


def line(error=None, **extra):
    record = logging.LogRecord("tiersplit.operator", logging.WARNING, "f", 1, "applied %s", ("Service",), error)
    record.__dict__.update(extra)
    return json.loads(JsonFormatter().format(record))


def test_a_line_says_when_how_bad_who_what_and_about_which_resource():
    found = line(resource="shop/digits", secret="hidden")
    assert found["message"] == "applied Service"
    assert (found["level"], found["resource"]) == ("warning", "shop/digits")
    assert "secret" not in found


def test_an_error_has_its_traceback():
    try:
        int("boom")
    except ValueError:
        assert "ValueError: invalid literal" in line(sys.exc_info())["error"]
