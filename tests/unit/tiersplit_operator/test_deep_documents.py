"""Documents as deep as the API server takes them."""

import json
import sys

from tiersplit_operator.main import DEEPEST

API_SERVER_LEVELS = 10_000


def test_a_document_as_deep_as_the_api_server_takes_ends_no_watch():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPEST)
    try:
        found = json.loads('{"a":' * API_SERVER_LEVELS + "1" + "}" * API_SERVER_LEVELS)
    finally:
        sys.setrecursionlimit(before)
    levels = 0
    while found != 1:
        found, levels = found["a"], levels + 1
    assert levels == API_SERVER_LEVELS
