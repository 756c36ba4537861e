"""Observations from a real Prometheus, and from servers that are none or have gone mad."""

import asyncio
import contextlib
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.adaptation import KEY
from tests.support.oci_registry import free_port
from tests.support.patience import PATIENCE_S
from tests.support.prometheus_server import prometheus_server
from tests.support.stages import wait_for
from tiersplit_api.v1alpha1.adaptation import Prometheus
from tiersplit_core.errors import OperationError
from tiersplit_operator.adaptation.polling import Poller
from tiersplit_operator.adaptation.queries import Metric, default_query
from tiersplit_operator.adaptation.samples import MAX_AGE_S
from tiersplit_operator.clients.prometheus import MAX_BYTES, PrometheusClient
from tiersplit_operator.facts import Key

LINK = 'namespace="shop",splitdeployment="{name}",source="edge",target="mdc",pod="{pod}"'
OTHER = Key("shop", "other")


def lines(name, pod, bandwidth, latency=0.01, load=1.0):
    link = LINK.format(name=name, pod=pod)
    tier = f'namespace="shop",splitdeployment="{name}",tier="edge",pod="{pod}"'
    return [
        f"tiersplit_link_bandwidth_bps{{{link}}} {bandwidth}",
        f"tiersplit_link_latency_seconds{{{link}}} {latency}",
        f"tiersplit_tier_load{{{tier}}} {load}",
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with prometheus_server(tmp_path_factory.mktemp("prometheus") / "files") as running:
        yield running


def poll(url, resources, period_s=60.0):
    async def main():
        async with PrometheusClient() as client:
            return await Poller(client, url).poll(resources, period_s)

    return asyncio.run(main())


def eventually(url, resources, holds, what):
    """The first poll of which `holds` is true."""
    return wait_for(lambda: holds(found := poll(url, resources)) and found, what=what)


def values(found, key=KEY):
    return {metric: value for (metric, _), value in found[key][0].values.items()}


def test_the_default_queries_tell_each_resource_the_mean_of_its_pods(server):
    server.metrics.lines = [
        *lines("net", "net-1", 1e6),
        *lines("net", "net-2", 3e6, load=3.0),
        *lines("other", "other-1", 7e6),
    ]
    plain = {KEY: Prometheus(), OTHER: Prometheus(), Key("shop", "absent"): Prometheus()}
    means = {Metric.BANDWIDTH: 2e6, Metric.LATENCY: 0.01, Metric.LOAD: 2.0}
    found = eventually(
        server.url,
        plain,
        lambda found: values(found) == means and values(found, OTHER).get(Metric.BANDWIDTH) == 7e6,
        "all pods are scraped",
    )
    assert values(found, Key("shop", "absent")) == {}
    assert all(problem == "" and seen.doubts == () for seen, problem in found.values())


def test_own_queries_are_asked_and_those_that_are_none_are_explained(server):
    server.metrics.lines = ['iperf_bits{from="edge",to="mdc"} 4e6']
    labelled = 'label_replace(label_replace(iperf_bits, "source", "$1", "from", "(.*)"), "target", "$1", "to", "(.*)")'
    own = {KEY: Prometheus(bandwidthQuery=labelled), OTHER: Prometheus(loadQuery="sum(nonsense{")}
    found = eventually(server.url, own, lambda found: values(found).get(Metric.BANDWIDTH) == 4e6, "it is scraped")
    assert "loadQuery" in found[OTHER][1]
    assert "parse error" in found[OTHER][1]
    assert "no vector" in poll(server.url, {KEY: Prometheus(loadQuery="1")})[KEY][1]


def test_numbers_that_cannot_be_come_through_as_doubts(server):
    server.metrics.lines = lines("net", "net-1", "NaN", "+Inf", -1)
    plain = {KEY: Prometheus()}
    found = eventually(server.url, plain, lambda found: len(found[KEY][0].doubts) == 3, "it is scraped")
    assert values(found) == {}


def test_what_is_scraped_no_more_is_no_observation_of_now(server):
    server.metrics.lines = lines("net", "net-1", 5e6)
    plain = {KEY: Prometheus()}
    eventually(server.url, plain, lambda found: values(found).get(Metric.BANDWIDTH) == 5e6, "it is scraped")
    server.metrics.missing = True
    try:
        eventually(server.url, plain, lambda found: not values(found), "it is stale")
    finally:
        server.metrics.missing = False


def test_the_age_of_a_sample_with_a_time_of_its_own_is_that_time(server):
    async def now():
        async with PrometheusClient() as client:
            return (await client.query(server.url, "vector(time())", PATIENCE_S))[0].value

    old = int((asyncio.run(now()) - MAX_AGE_S - 20) * 1000)
    server.metrics.lines = [f"{line} {old}" for line in lines("aged", "aged-1", 5e6)]
    aged = Key("shop", "aged")
    found = eventually(server.url, {aged: Prometheus()}, lambda found: found[aged][0].doubts, "it is scraped")
    seen, _ = found[aged]
    assert seen.values == {}
    assert all("s old" in doubt for doubt in seen.doubts)


def test_a_server_that_ends_and_comes_back_is_a_problem_for_as_long(tmp_path):
    with prometheus_server(tmp_path / "files") as running:
        assert poll(running.url, {KEY: Prometheus()})[KEY][1] == ""
        running.end()
        assert "does not answer" in poll(running.url, {KEY: Prometheus()})[KEY][1]


class Mad:
    """A server that answers every query as the test wants."""

    def __init__(self, answer):
        self.seen, self.stop = [], threading.Event()
        mad = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                mad.seen.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
                with contextlib.suppress(OSError):
                    answer(self, mad.stop)

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()


def says(body, status=200, **headers):
    def answer(handler, _stop):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    return answer


def hangs(_handler, stop):
    stop.wait(4 * PATIENCE_S)


def drips(handler, stop):
    handler.send_response(200)
    handler.end_headers()
    while not stop.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def floods(handler, stop):
    handler.send_response(200)
    handler.end_headers()
    while not stop.is_set():
        handler.wfile.write(b" " * 2**20)


def vector(*items):
    return {"status": "success", "data": {"resultType": "vector", "result": list(items)}}


BOMB = gzip.compress(b" " * (MAX_BYTES + 2**20))


HASTE_S = 1.0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (hangs, "within"),
        (drips, "within"),
        (floods, "more than"),
        (says(b"\x00\xff garbage"), "200 and no JSON"),
        (says(b"[" * 200_000), "no JSON"),
        (says(BOMB, Content_Encoding="gzip"), "no JSON"),
        (says(b"<html>", 500), "500 and no JSON"),
        (says({"status": "error", "error": "too many samples"}, 422), "422: too many samples"),
        (says(b"", 302, Location="http://127.0.0.1:1/"), "302 and no JSON"),
        (says({"status": "success", "data": {"resultType": "matrix", "result": []}}), "no vector"),
        (says({"status": "success"}), "no vector"),
        (says([1, 2]), "no success"),
        (says(vector(*([{}] * 200_001))), "too long"),
    ],
)
def test_whatever_a_server_does_it_is_an_error_in_words_and_in_time(answer, words):
    mad = Mad(answer)

    async def main():
        limit_s = HASTE_S if words == "within" else PATIENCE_S
        async with PrometheusClient() as client, asyncio.timeout(2 * PATIENCE_S):
            await client.query(mad.url, default_query(Metric.LOAD), limit_s)

    try:
        with pytest.raises(OperationError, match=words):
            asyncio.run(main())
    finally:
        mad.close()


def test_elements_that_are_none_are_samples_of_nothing():
    odd = [None, 7, {}, {"metric": [], "value": []}, {"metric": {"a": 1}, "value": [0, "x"]}]
    odd += [{"metric": {"a": 1}, "value": [0, 10**400]}, {"metric": {"a": 1}, "value": [0, "1"]}]
    mad = Mad(says(vector(*odd)))

    async def main():
        async with PrometheusClient() as client:
            return await client.query(mad.url, "up", PATIENCE_S)

    try:
        samples = asyncio.run(main())
    finally:
        mad.close()
    assert [sample.value for sample in samples if sample.labels] == [1.0]
    assert len(samples) == len(odd)


def test_the_token_is_read_anew_for_every_query_and_sent(tmp_path):
    mad, file = Mad(says(vector())), tmp_path / "token"

    async def main():
        async with PrometheusClient(str(file)) as client:
            for token in ("one", "two"):
                file.write_text(f"{token}\n")
                await client.query(mad.url, "up", PATIENCE_S)
            file.write_bytes(b"\xff")
            with pytest.raises(OperationError, match="no text"):
                await client.query(mad.url, "up", PATIENCE_S)
            file.unlink()
            with pytest.raises(OperationError, match="No such file"):
                await client.query(mad.url, "up", PATIENCE_S)

    try:
        asyncio.run(main())
    finally:
        mad.close()
    assert [headers["Authorization"] for _, headers, _ in mad.seen] == ["Bearer one", "Bearer two"]
    assert {path for path, _, _ in mad.seen} == {"/api/v1/query"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "nonsense", "http://[", "ftp://127.0.0.1:{port}"])
def test_an_address_that_leads_nowhere_is_an_error_in_words(url):
    async def main():
        async with PrometheusClient() as client:
            await client.query(url.format(port=free_port()), "up", PATIENCE_S)

    with pytest.raises(OperationError, match="does not answer"):
        asyncio.run(main())
