"""What is killed or cut under load: requests in flight may fail, later ones do not while a path exists."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import faults
from tests.cluster.helm import NAMESPACE as RELEASE_NAMESPACE
from tests.cluster.kubectl import get
from tests.support.cluster_load import Answer, Load, loaded, longest_gap_s, verdict
from tests.support.cluster_product import Product, is_ready
from tests.support.cluster_session import MDC

EXCUSED_S, HELD_S = 2.0, 12.0
"""A request that is sent so long after a loss is answered, wherever a path exists; what is cut stays so for longer."""
RECOVERS_S = 150.0
WARM_ANSWERS = 10
API_AWAY_S, API_GAP_S = 60.0, 15.0


@dataclass(frozen=True)
class Fault:
    """What is done to the cluster, and how it is undone.

    Attributes:
        cause: does it.
        mend: undoes what Kubernetes would not mend by itself.
        leaves_a_path: requests can be answered meanwhile.
    """

    cause: Callable[[Product], object]
    mend: Callable[[], object] = lambda: None
    leaves_a_path: bool = True


def kill_pods(namespace: str, selector: str) -> None:
    """End all processes of pods with SIGKILL, as a crash does; their kubelets start them again."""
    pods = get("pods", f"--namespace={namespace}", f"--selector={selector}")["items"]
    found = [pid for pod in pods for pid in processes_of(pod["metadata"]["uid"])]
    assert len(found) >= len(pods) > 0
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def processes_of(uid: str) -> list[int]:
    """Those of a pod's containers; its sandbox, which holds its address, is not among them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if uid in (entry / "cgroup").read_text() and (entry / "exe").resolve().name != "pause":
                found.append(int(entry.name))
    return found


def kill_stage(tier: str) -> Callable[[Product], None]:
    return lambda product: kill_pods(
        product.namespace, f"tiersplit.dev/deployment={product.name},tiersplit.dev/tier={tier}"
    )


def kill_part(part: str) -> Callable[[Product], None]:
    return lambda _: kill_pods(RELEASE_NAMESPACE, f"app.kubernetes.io/name=tiersplit-{part}")


FAULTS = {
    "operator": Fault(kill_part("operator")),
    "registry": Fault(kill_part("registry")),
    "prometheus": Fault(lambda _: faults.stop("prometheus", kill=True), lambda: faults.start("prometheus")),
    "tail": Fault(kill_stage("cloud")),
    "middle": Fault(kill_stage("mdc")),
    "head": Fault(kill_stage("edge"), leaves_a_path=False),
    "node": Fault(lambda _: faults.cut(MDC), lambda: faults.heal(MDC)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_killed_under_load_comes_back_and_costs_only_what_was_in_flight(
    unshaped: Product, load_of: Callable[..., Load], name: str
) -> None:
    fault, load = FAULTS[name], load_of(unshaped)
    with loaded(load):
        unshaped.wait(lambda: len(load.answers) >= WARM_ANSWERS, "the load was under way", 30)
        moment_s = time.monotonic()
        fault.cause(unshaped)
        try:
            unshaped.wait(lambda: answered(load, moment_s + HELD_S), "requests were answered again", RECOVERS_S)
        finally:
            fault.mend()
        unshaped.wait(lambda: has_recovered(unshaped), "all pods were ready again", RECOVERS_S)
    late = [failure for failure in load.failures if failure.sent_s >= moment_s + EXCUSED_S]
    said = f"{name}: {len(load.failures)} of {load.sent} failed, the longest gap was {longest_gap_s(load):.1f} s"
    sys.stderr.write(f"\n{said}\n")
    assert not late or not fault.leaves_a_path, (said, late[:3])
    assert verdict([load])["wrong"] == verdict([load])["duplicate"] == 0


def test_a_minute_without_the_api_server_is_not_noticed_by_those_who_are_connected(
    unshaped: Product, load_of: Callable[..., Load]
) -> None:
    head = unshaped.head
    connected, later = load_of(unshaped, head=head), load_of(unshaped, head=head)
    with loaded(connected):
        unshaped.wait(lambda: len(connected.answers) >= WARM_ANSWERS, "the load was under way", 30)
        faults.stop("apiserver")
        try:
            wait_for_answers(connected, time.monotonic() + API_AWAY_S)
        finally:
            faults.start("apiserver")
        back_s = time.monotonic()
        with loaded(later):
            wait_for_answers(later, back_s + API_GAP_S)
        unshaped.wait(lambda: has_recovered(unshaped), "all pods were ready", RECOVERS_S)
    assert not connected.failures
    assert any(not answer.failure and answer.sent_s - back_s <= API_GAP_S for answer in later.answers)


def answered(load: Load, after_s: float) -> list[Answer]:
    """The last three answers of requests sent after a moment, if none of them failed."""
    last = load.after(after_s)[-3:]
    return last if len(last) == 3 and not any(answer.failure for answer in last) else []


def wait_for_answers(load: Load, until_s: float) -> None:
    """Until an answer arrives of a request that was sent then or later."""
    deadline_s = until_s + 30
    while not load.after(until_s):
        assert time.monotonic() < deadline_s, "no request came to an end"
        time.sleep(0.2)


def has_recovered(product: Product) -> bool:
    """Whether every stage, the operator and the registry are ready, and the resource says so."""
    system = get("pods", f"--namespace={RELEASE_NAMESPACE}")["items"]
    stages = [product.pods(tier) for tier in ("edge", "mdc", "cloud")]
    ready = all(pods and all(map(is_ready, pods)) for pods in [*stages, system])
    return ready and product.condition("Ready").get("status") == "True"
