"""The controller without processes: reports go in, routes come out."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.control_catalogue import TIERS, catalogue, intent
from tests.support.patience import PATIENCE_S
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.adaptation.policy import Mode, Settings, Verdict
from tiersplit_core.errors import InputError
from tiersplit_local.controller import Controller, check_pin
from tiersplit_wire.v1 import route_pb2 as pb

FAST = [LinkEstimate(1e9, 0.0), LinkEstimate(1e9, 0.0)]


async def nobody(tier: str, address: str) -> None:
    """Nobody is told where stages are."""


def make(tmp_path: Path, **changes: object) -> Controller:
    found = Controller(intent(**changes), catalogue(), tmp_path / "history.json", nobody)
    found.publish(pb.Route(deployment="net"))
    return found


def report(controller: Controller, tier: str, **fields: object) -> pb.StageReport:
    selectable = list(controller.catalogue.plans) if tier == "edge" else []
    values = {"deployment": "net", "tier": tier, "instance": f"{tier}-1", "selectable": selectable}
    return pb.StageReport(**{**values, **fields})


def all_report(controller: Controller) -> None:
    for tier in TIERS:
        controller.observer.take(report(controller, tier))


def transmissions(count: int, bandwidth_bps: float, lost: bool = False) -> list[pb.LinkObservation]:
    size = 100_000
    seconds = 8 * size / bandwidth_bps
    return [
        pb.LinkObservation(source="edge", target="mdc", bytes=size, seconds=seconds, lost=lost) for _ in range(count)
    ]


def test_nothing_serves_before_a_plan_has_answered_its_golden_request(tmp_path: Path) -> None:
    controller = make(tmp_path)
    for tier in TIERS:
        controller.observer.take(report(controller, tier, selectable=[]))
    assert controller.look().plan is None
    assert not controller.serving.is_set()


def test_the_first_plan_is_the_best_and_is_put_into_a_route_with_a_higher_epoch(tmp_path: Path) -> None:
    controller = make(tmp_path)
    all_report(controller)
    before = controller.epoch
    decision = controller.look()
    costs = controller.catalogue.costs(controller.observer.estimates, (1, 1, 1), 1)
    assert decision.plan == min(costs, key=costs.__getitem__)
    assert controller.epoch == before + 1
    assert controller.serving.is_set()


def test_the_start_waits_for_the_best_plan_s_golden_answer(tmp_path: Path) -> None:
    controller = make(tmp_path)
    all_report(controller)
    fallback = controller.catalogue.fallback
    controller.observer.take(report(controller, "edge", selectable=[fallback]))
    assert controller.look().plan is None
    controller.observer.take(report(controller, "edge"))
    assert controller.look().plan not in {None, fallback}


def test_a_slow_link_moves_the_plan_and_is_kept_in_the_history(tmp_path: Path) -> None:
    controller = make(tmp_path)
    all_report(controller)
    first = controller.look().plan
    controller.observer.take(report(controller, "edge", links=transmissions(6, 2e4)))
    decision = controller.look()
    assert (decision.verdict, decision.plan != first) == (Verdict.MOVE, True)
    kept = json.loads((tmp_path / "history.json").read_text())
    assert [event["verdict"] for event in kept] == ["move", "move"]
    assert "better" in kept[-1]["reason"]
    assert controller.look().verdict is Verdict.KEEP


def test_a_lost_transmission_falls_back_at_once_and_a_receipt_returns(tmp_path: Path) -> None:
    controller = make(tmp_path, policy=Settings(cooldown_s=0.0))
    all_report(controller)
    first = controller.look().plan
    controller.observer.take(report(controller, "edge", links=transmissions(1, 1e7, lost=True)))
    assert controller.observer.worth_a_look()
    assert controller.look().plan == controller.catalogue.fallback
    assert controller.fell_back
    controller.observer.take(report(controller, "edge", links=transmissions(3, 1e7)))
    back = controller.look()
    assert (back.verdict, back.plan) == (Verdict.RETURN, first)


def test_a_stage_whose_stream_ended_is_gone_until_it_reports_again(tmp_path: Path) -> None:
    controller = make(tmp_path)
    all_report(controller)
    controller.look()
    controller.observer.left("mdc")
    assert controller.observer.gone == {1}
    assert controller.look().plan == controller.catalogue.fallback
    controller.observer.take(report(controller, "mdc", instance="mdc-2"))
    assert controller.observer.gone == frozenset()


def test_loads_come_from_observed_over_profiled_seconds(tmp_path: Path) -> None:
    controller = make(tmp_path)
    segment, plan = controller.catalogue.specs[0].id, next(iter(controller.catalogue.plans))
    profiled = controller.catalogue.profiled_s("cloud", segment, 1)
    assert profiled > 0
    seen = [pb.SegmentObservation(segment=segment, batch=1, runs=50, seconds=3 * profiled)]
    controller.observer.take(report(controller, "cloud", segments=seen))
    assert controller.observer.loads[2] == pytest.approx(3, rel=0.15)
    loaded = controller.catalogue.costs(FAST, controller.observer.loads, 1)
    assert loaded[plan] >= controller.catalogue.costs(FAST, (1, 1, 1), 1)[plan]


def test_counts_go_on_over_a_restart_of_the_head(tmp_path: Path) -> None:
    controller = make(tmp_path)
    served = [pb.PlanCount(plan="p", answered=5, failed=1, latency_s=0.02)]
    controller.observer.take(report(controller, "edge", served=served))
    controller.observer.take(report(controller, "edge", served=[pb.PlanCount(plan="p", answered=7, failed=1)]))
    controller.observer.take(report(controller, "edge", instance="edge-2", served=[pb.PlanCount(plan="p", answered=2)]))
    assert (controller.observer.served.answered, controller.observer.served.failed) == ({"p": 9}, {"p": 1})
    assert controller.observer.served.latency_s == pytest.approx(0.02)


def test_counts_go_on_when_a_plan_comes_back_that_the_head_had_forgotten(tmp_path: Path) -> None:
    controller = make(tmp_path)
    for counted in ([pb.PlanCount(plan="p", answered=5)], [], [pb.PlanCount(plan="p", answered=2)]):
        controller.observer.take(report(controller, "edge", served=counted))
    assert controller.observer.served.answered == {"p": 7}


def test_a_pin_is_found_by_its_first_digits_and_released(tmp_path: Path) -> None:
    controller = make(tmp_path)
    all_report(controller)
    best = controller.look().plan
    other = next(digest for digest in controller.catalogue.plans if digest != best)
    controller.pin(other[:19])
    assert controller.look().plan == other
    controller.pin(None)
    assert controller.look().plan == best
    with pytest.raises(InputError, match="names 0 plans"):
        controller.pin("sha256:" + "0" * 64)


def test_an_unknown_pin_in_the_manifest_is_refused_with_its_annotation() -> None:
    with pytest.raises(InputError, match=r"tiersplit.dev/pinned-plan"):
        check_pin(catalogue(), intent(pinned="sha256:123456"))
    digest = next(iter(catalogue().plans))
    assert check_pin(catalogue(), intent(pinned=digest[7:17])).pinned == digest


def test_probes_may_use_one_percent_of_the_narrowest_link(tmp_path: Path) -> None:
    controller = make(tmp_path)
    assert controller.probe_budget() == pytest.approx(1e5, rel=0.01)


def test_a_stage_that_connects_is_told_the_newest_route_and_every_later_one(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    async def placed(tier: str, address: str) -> None:
        told.append((tier, address))

    async def scenario() -> list[int]:
        controller = Controller(intent(), catalogue(), tmp_path / "history.json", placed)
        controller.publish(pb.Route(deployment="net"))
        end = asyncio.Event()

        async def reports() -> AsyncIterator[pb.StageReport]:
            yield report(controller, "mdc", address="127.0.0.1:5")
            yield report(controller, "mdc", address="127.0.0.1:5")
            await end.wait()

        epochs = []
        async for route in controller.Watch(reports(), None):
            epochs.append(route.epoch)
            if route.epoch == 3:
                end.set()
            else:
                controller.publish(pb.Route(deployment="net"))
        assert controller.observer.gone == {0, 1, 2}
        return epochs

    assert asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S)) == [1, 2, 3]
    assert told == [("mdc", "127.0.0.1:5")]


def test_reports_of_strangers_are_left_out(tmp_path: Path) -> None:
    controller = make(tmp_path)
    controller.observer.take(pb.StageReport(deployment="net", tier="moon"))
    assert set(controller.observer.stages) == set(TIERS)


def test_recommendations_are_kept_but_not_carried_out(tmp_path: Path) -> None:
    policy = replace(intent().policy, mode=Mode.RECOMMEND)
    controller = make(tmp_path, policy=policy)
    all_report(controller)
    first = controller.look().plan
    controller.observer.take(report(controller, "edge", links=transmissions(6, 2e4)))
    assert controller.look().verdict is Verdict.RECOMMEND
    assert controller.current == first
    assert controller.history[-1].decision.better != first
