"""Where Prometheus scrapes: connections that only hold on cost little, and no scrape."""

import socket
import threading
import urllib.request
from contextlib import ExitStack

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.stages import wait_for
from tiersplit_stage import scraping
from tiersplit_stage.metrics import StageMetrics

CROWD = 5 * scraping.MAX_CONNECTIONS


@pytest.fixture
def address():
    host, _, port = StageMetrics().serve("127.0.0.1:0").rpartition(":")
    return host, int(port)


def connected(stack, address):
    found = stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
    found.sendall(b"GET /metrics HTTP/1.1\r\n")
    return found


def is_ended(connection):
    """Whether the other end closes it, in good order or before it has read what was sent."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def scrape(address):
    with urllib.request.urlopen("http://{}:{}/metrics".format(*address), timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def test_a_crowd_that_never_ends_its_requests_holds_few_threads_and_no_scrape_up(address):
    before = threading.active_count()
    with ExitStack() as stack:
        crowd = [connected(stack, address) for _ in range(CROWD)]
        assert all(map(is_ended, crowd[: -scraping.MAX_CONNECTIONS]))
        assert "tiersplit_rerun_total" in scrape(address)
        wait_for(lambda: threading.active_count() <= before + scraping.MAX_CONNECTIONS + 1, what="other threads end")


def test_a_connection_that_says_nothing_is_ended(address, monkeypatch):
    monkeypatch.setattr(scraping._Handler, "timeout", 0.05)
    with ExitStack() as stack:
        assert is_ended(connected(stack, address))


def test_scrapes_that_come_at_once_are_all_answered(address):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(scrape(address))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert ["tiersplit_rerun_total" in answer for answer in answers] == [True] * 4


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"])
def test_addresses_of_each_family_that_there_is_are_served(host):
    address = StageMetrics().serve(f"{host}:0")
    assert address.startswith(f"{host}:")
    assert "tiersplit_rerun_total" in scrape(address.rsplit(":", 1))
