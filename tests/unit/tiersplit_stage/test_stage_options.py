"""What a stage's command line means."""

import pytest

from tiersplit_stage.options import parse
from tiersplit_stage.processors import usable_processors

LEAST = ["--deployment", "d", "--tier", "edge", "--bundle", "/b"]
CLUSTER = ["--deployment", "d", "--namespace", "n", "--tier", "edge", "--bundle-cache", "/c"]


def test_without_a_namespace_the_defaults_are_those_of_one_machine():
    found = parse(LEAST)
    assert (found.threads, found.drain_wait_s, found.connection_age_s) == (1, 1.0, 0.0)
    assert (found.listen, found.health, found.advertise) == ("127.0.0.1:0", "", "")


def test_on_a_cluster_clients_connect_again_before_a_stop_and_threads_fit_the_processors():
    found = parse(CLUSTER)
    assert found.drain_wait_s == 5.0
    assert 0 < 1.1 * found.connection_age_s + 2 < found.drain_wait_s  # gRPC spreads ages by a tenth
    assert found.threads == usable_processors()


def test_what_is_given_holds_on_a_cluster_too():
    found = parse([*CLUSTER, "--threads", "3", "--drain-wait-s", "2", "--connection-age-s", "0"])
    assert (found.threads, found.drain_wait_s, found.connection_age_s) == (3, 2.0, 0.0)


@pytest.mark.parametrize(
    ("given", "meant"), [("10.0.0.7:9000", "10.0.0.7:9000"), ("fd00::7:9000", "[fd00::7]:9000"), ("[::1]:9", "[::1]:9")]
)
def test_an_advertised_pod_address_gets_the_brackets_that_it_needs(given, meant):
    assert parse([*CLUSTER, "--advertise", given]).advertise == meant


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (LEAST[:4], "--bundle"),
        ([*LEAST, "--advertise", "9000"], "HOST:PORT"),
        ([*LEAST, "--advertise", "host:"], "HOST:PORT"),
        ([*LEAST, "--drain-wait-s", "-1"], "86400"),
        ([*LEAST, "--cache-limit-bytes", "-1"], "at least 0"),
        ([*LEAST, "--threads", "0"], "at least 1"),
    ],
)
def test_wrong_arguments_are_told_what_to_write(given, said, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(given)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def four_processors(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"cpu.max": "max 100000"}, 4),
        ({"cpu.max": "25000 100000"}, 1),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "900000 100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "250000"}, 4),
        ({"cpu.max": "nonsense"}, 4),
        ({}, 4),
    ],
)
@pytest.mark.usefixtures("four_processors")
def test_threads_fit_the_quota_rounded_up_and_the_cpuset(tmp_path, files, threads):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert usable_processors(tmp_path) == threads
