"""Stages with TLS: who is refused, what a rotation costs, and how the controller is reached."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from tests.support.certificates import Authority, write_secret
from tests.support.cluster_stages import SecureController
from tests.support.patience import PATIENCE_S
from tests.support.stages import MODEL, Controller, StageProcess, TinyModel, deployment, wait_for
from tiersplit_wire.client import InferenceClient
from tiersplit_wire.connection import trusting

PAIR = ("edge", "cloud")
PLANS = ("000", "011")
AUTHORITY, FOREIGN = Authority("ours"), Authority("theirs")


@pytest.fixture
def secured(tmp_path):
    secret = write_secret(tmp_path / "tls", AUTHORITY.issue("127.0.0.1"), AUTHORITY.pem)
    flags = ["--tls-dir", str(secret), "--metrics", "127.0.0.1:0"]
    with deployment(tmp_path, tiers=PAIR, extra=dict.fromkeys(PAIR, flags)) as made:
        made.publish(PLANS, "011", fallback="000")
        made.controller.wait_selectable(*PLANS)
        made.controller.wait_active("011")
        yield made, secret


def ask(made, client, seed=0):
    x = np.random.default_rng(seed).normal(size=(2, 4)).astype(np.float32)
    reply = client.infer(MODEL, {"image": x}, timeout_s=PATIENCE_S)
    np.testing.assert_allclose(reply.outputs["scores"], made.model.reference(x)["scores"], rtol=1e-4, atol=1e-5)
    return reply.parameters["plan"]


def opens_activations(address, credentials):
    """Whether a neighbour's stream opens."""
    channel = grpc.insecure_channel(address) if credentials is None else grpc.secure_channel(address, credentials)
    with channel:
        call = channel.stream_stream("/tiersplit.wire.v1.Activations/Exchange")(iter(()), timeout=PATIENCE_S)
        try:
            return "tiersplit-instance" in dict(call.initial_metadata())
        except grpc.RpcError:
            return False


def shown(authority, trusted=AUTHORITY):
    pair = authority.issue("client")
    return grpc.ssl_channel_credentials(trusted.pem, pair.key, pair.chain)


def test_clients_need_the_authority_and_neighbours_a_certificate_of_it(secured):
    made, _ = secured
    with InferenceClient(made.head, trusting(AUTHORITY.pem)) as client:
        wait_for(lambda: ask(made, client) == "011", what="the link is used")
    with InferenceClient(made.head) as plain, InferenceClient(made.head, trusting(FOREIGN.pem)) as distrustful:
        assert [plain.ready(), distrustful.ready()] == [False, False]
    cloud = made.addresses["cloud"][0]
    assert opens_activations(cloud, shown(AUTHORITY))
    for credentials in (None, trusting(AUTHORITY.pem), shown(FOREIGN)):
        assert not opens_activations(cloud, credentials)


def test_certificates_rotate_under_load_without_a_restart_or_a_lost_request(secured):
    made, secret = secured
    stop, plans, failed = threading.Event(), [], []

    def load(seed):
        with InferenceClient(made.head, trusting(AUTHORITY.pem)) as client:
            while not stop.is_set():
                try:
                    plans.append(ask(made, client, seed))
                except Exception as error:
                    failed.append(error)

    processes = [stage.process.pid for stage in made.stages.values()]
    with ThreadPoolExecutor(2) as pool:
        loading = [pool.submit(load, seed) for seed in range(2)]
        try:
            wait_for(lambda: len(plans) > 20)
            # Both authorities are trusted while certificates change hands, as a careful rotation does it.
            write_secret(secret, FOREIGN.issue("127.0.0.1"), AUTHORITY.pem + FOREIGN.pem)
            wait_for(
                lambda: serves_by(made.head, FOREIGN), what="connections see the certificate of the other authority"
            )
            # Each stage looks at its files by itself, within a second.
            wait_for(
                lambda: opens_activations(made.addresses["cloud"][0], shown(FOREIGN, trusted=FOREIGN)),
                what="stages take the certificate of the other authority",
            )
            seen = len(plans)
            wait_for(lambda: plans[seen:].count("011") > 20, what="the link is used on")
        finally:
            stop.set()
        for done in loading:
            done.result()
    assert failed == []
    assert processes == [stage.process.pid for stage in made.stages.values()]


def serves_by(address, authority):
    with InferenceClient(address, trusting(authority.pem)) as client:
        return client.ready(PATIENCE_S)


def test_a_stage_that_comes_back_finds_its_neighbour_by_the_certificates_of_that_day(secured):
    made, secret = secured
    write_secret(secret, FOREIGN.issue("127.0.0.1"), FOREIGN.pem)
    wait_for(lambda: serves_by(made.head, FOREIGN))
    made.stages["cloud"].kill()
    made.stages["cloud"] = made.start("cloud", "--tls-dir", str(secret))
    made.addresses["cloud"] = [made.stages["cloud"].address]
    with InferenceClient(made.head, trusting(FOREIGN.pem)) as client:
        made.publish(PLANS, "011", fallback="000")
        wait_for(lambda: ask(made, client) == "011", what="the way is back")


def test_certificates_that_cannot_be_used_end_the_start_with_their_reason(tmp_path):
    model = TinyModel(tmp_path / "bundle")
    secret = write_secret(tmp_path / "tls", AUTHORITY.issue("127.0.0.1", days=-1), AUTHORITY.pem)
    with pytest.raises(AssertionError, match=r"tiersplit_stage: tls\.crt: is expired"):
        StageProcess("edge", model.bundle, tmp_path, "", "--tls-dir", str(secret))


def test_the_controller_is_reached_by_tls_with_the_token_of_the_moment(tmp_path):
    model = TinyModel(tmp_path / "bundle")
    authority, token = tmp_path / "ca.crt", tmp_path / "token"
    authority.write_bytes(AUTHORITY.pem)
    token.write_text("first-token")
    route = model.route(1, ["000"], "000", {}, tiers=PAIR)
    controller = SecureController(AUTHORITY.issue("localhost"), route)
    controller.leads = False
    stage = StageProcess(
        "edge", model.bundle, tmp_path, controller.address,
        *("--controller-ca", str(authority), "--token-file", str(token)), head=True,
    )  # fmt: skip
    try:
        wait_for(lambda: len(controller.tokens) >= 3, what="a replica that does not lead is left and dialled again")
        assert set(controller.tokens) == {"Bearer first-token"}
        token.write_text("second-token\n")
        wait_for(lambda: controller.tokens[-1] == "Bearer second-token")
        controller.leads = True
        wait_for(lambda: controller.reports and controller.reports[-1].active == "000", what="reports reach the leader")
        told = stage.log.read_text()
        assert "another replica leads" in told
        assert "first-token" not in told
    finally:
        stage.stop()
        controller.close()


def test_a_controller_of_another_authority_gets_no_token(tmp_path):
    model = TinyModel(tmp_path / "bundle")
    authority, token = tmp_path / "ca.crt", tmp_path / "token"
    authority.write_bytes(AUTHORITY.pem)
    token.write_text("secret-token")
    controller = SecureController(FOREIGN.issue("localhost"), model.route(1, ["000"], "000", {}, tiers=PAIR))
    plain = Controller()
    flags = ("--controller-ca", str(authority), "--token-file", str(token))
    stages = [
        StageProcess("edge", model.bundle, tmp_path, address, *flags, head=True)
        for address in (controller.address, plain.address)
    ]
    try:
        wait_for(lambda: all("no connection within" in stage.log.read_text() for stage in stages))
        assert controller.tokens == []
        assert plain.reports == {}
    finally:
        for stage in stages:
            stage.stop()
        controller.close()
        plain.close()
