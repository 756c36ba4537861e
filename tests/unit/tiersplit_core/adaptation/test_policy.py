"""The policy, driven by a fake clock over simulated links."""

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiersplit_core.adaptation.policy import Candidate, Decision, Mode, Settings, Situation, Verdict, decide

PLANS = {"edge": (0, 0.9, 0.0), "middle": (1, 0.3, 1e6), "cloud": (2, 0.1, 4e6)}
"""Per plan: its reach, compute seconds, and bits on each link up to there."""


def candidates(bandwidths: tuple[float, float]) -> dict[str, Candidate]:
    found = {}
    for name, (reach, compute_s, bits) in PLANS.items():
        wires_s = sum(bits / bandwidths[i] if bandwidths[i] > 0 else math.inf for i in range(reach))
        found[name] = Candidate(compute_s + wires_s, reach)
    return found


def dead(bandwidths: tuple[float, float]) -> frozenset[int]:
    return frozenset(i for i, value in enumerate(bandwidths) if value == 0)


@dataclass
class Simulation:
    settings: Settings = field(default_factory=Settings)
    now_s: float = 0.0
    current: str | None = None
    fell_back: bool = False
    last_move_s: float = -math.inf
    moves: list[tuple[float, Decision]] = field(default_factory=list)

    def step(self, bandwidths: tuple[float, float], dt_s: float = 5.0, **extra: object) -> Decision:
        situation = Situation(
            self.now_s,
            candidates(bandwidths),
            dead(bandwidths),
            frozenset(),
            self.current,
            self.fell_back,
            self.last_move_s,
        )
        decision = decide(replace(situation, **extra), self.settings)
        if decision.changes:
            self.moves.append((self.now_s, decision))
            self.current, self.last_move_s = decision.plan, self.now_s
            self.fell_back = decision.verdict in {Verdict.FALLBACK, Verdict.UNAVAILABLE}
        self.now_s += dt_s
        return decision


FAST, SLOW, DOWN = (1e9, 1e9), (1e6, 1e6), (0.0, 1e9)


def test_the_first_plan_is_the_best_one_that_is_selectable() -> None:
    assert Simulation().step(FAST).plan == "cloud"
    plans = {**candidates(FAST), "cloud": Candidate(0.1, 2, selectable=False)}
    assert decide(Situation(0.0, plans), Settings()).plan == "middle"


def test_a_gain_below_the_minimum_moves_nothing() -> None:
    plans = {"a": Candidate(1.0, 0), "b": Candidate(0.97, 1)}
    decision = decide(Situation(100.0, plans, current="a"), Settings(min_gain=0.05))
    assert (decision.verdict, decision.plan, decision.better) == (Verdict.KEEP, "a", "b")
    assert decide(Situation(100.0, plans, current="a"), Settings(min_gain=0.02)).plan == "b"


def test_a_voluntary_move_waits_for_the_cooldown() -> None:
    run = Simulation()
    run.step(FAST)
    decisions = [run.step(SLOW) for _ in range(7)]
    assert [decision.verdict for decision in decisions[:5]] == [Verdict.KEEP] * 5
    assert "cooldown" in decisions[0].reason
    assert run.current == "edge"
    assert run.moves[-1][0] - run.moves[0][0] >= 30


def test_a_dead_link_overrides_the_cooldown_and_the_return_waits_for_it() -> None:
    run = Simulation()
    run.step(FAST)
    fallback = run.step(DOWN)
    assert (fallback.verdict, fallback.plan) == (Verdict.FALLBACK, "edge")
    assert "link 1 is down" in fallback.reason
    back = [run.step(FAST) for _ in range(8)]
    assert back[0].verdict is Verdict.KEEP
    assert Verdict.RETURN in [decision.verdict for decision in back]
    assert run.current == "cloud"


def test_only_what_lies_behind_the_dead_link_is_given_up() -> None:
    run = Simulation()
    run.step(FAST)
    assert run.step((1e9, 0.0)).plan == "middle"


def test_a_gone_stage_counts_like_the_links_to_it() -> None:
    run = Simulation()
    run.step(FAST)
    assert run.step(FAST, gone_tiers=frozenset({1})).plan == "edge"
    assert "tier 2 is gone" in run.moves[-1][1].reason


def test_without_a_plan_that_fits_the_answer_is_unavailable_until_the_link_is_back() -> None:
    plans = {"cloud": Candidate(0.1, 2)}
    gone = decide(Situation(0.0, plans, frozenset({0}), current="cloud"), Settings())
    assert (gone.verdict, gone.plan) == (Verdict.UNAVAILABLE, None)
    still = decide(Situation(5.0, plans, frozenset({0}), current=None), Settings())
    assert (still.verdict, still.changes) == (Verdict.KEEP, False)
    back = decide(Situation(6.0, plans, current=None, fell_back=True), Settings())
    assert (back.verdict, back.plan) == (Verdict.RETURN, "cloud")


def test_reasons_call_links_and_tiers_by_their_names() -> None:
    names, plans = ("edge", "mdc", "cloud"), {"cloud": Candidate(0.1, 2)}
    gone = decide(Situation(0.0, plans, frozenset({1}), frozenset({2}), "cloud", tiers=names), Settings())
    assert gone.reason == "no plan can be served: link mdc:cloud is down, tier cloud is gone"


def test_recommend_only_says_it_but_still_leaves_a_dead_plan() -> None:
    run = Simulation(Settings(mode=Mode.RECOMMEND, cooldown_s=0))
    run.step(FAST)
    said = run.step(SLOW)
    assert (said.verdict, said.plan, said.better) == (Verdict.RECOMMEND, "cloud", "edge")
    assert run.step(DOWN).plan == "edge"


def test_paused_moves_nothing() -> None:
    run = Simulation(Settings(mode=Mode.PAUSED, cooldown_s=0))
    run.step(FAST)
    assert run.step(SLOW).verdict is Verdict.KEEP
    assert run.current == "cloud"


def test_a_pinned_plan_serves_while_it_can() -> None:
    run = Simulation(Settings(cooldown_s=0))
    run.step(FAST)
    assert run.step(FAST, pinned="edge").verdict is Verdict.PINNED
    assert run.step(FAST, pinned="edge").verdict is Verdict.KEEP
    assert run.step(FAST, pinned="middle").plan == "middle"
    assert run.step(DOWN, pinned="middle").plan == "edge"


@pytest.mark.parametrize(("first_tier", "plan"), [(False, "cloud"), (True, "edge")])
def test_without_observations_the_declared_behaviour_holds(first_tier: bool, plan: str) -> None:
    run = Simulation(Settings(cooldown_s=0, first_tier_when_blind=first_tier))
    run.step(FAST)
    run.step(FAST, blind=True)
    assert run.current == plan


bandwidth = st.sampled_from([0.0, 1e5, 1e6, 3e6, 1e7, 1e8])
trace = st.lists(st.tuples(bandwidth, bandwidth), min_size=1, max_size=80)


@settings(max_examples=200, deadline=None)
@given(trace, st.floats(0, 120), st.floats(0.5, 20))
def test_voluntary_moves_never_come_sooner_than_the_cooldown(
    steps: list[tuple[float, float]], cooldown_s: float, dt_s: float
) -> None:
    run = Simulation(Settings(cooldown_s=cooldown_s))
    for bandwidths in steps:
        before = run.last_move_s
        decision = run.step(bandwidths, dt_s)
        if decision.verdict in {Verdict.MOVE, Verdict.RETURN} and before > -math.inf:
            assert run.last_move_s - before >= cooldown_s - 1e-9


@settings(max_examples=200, deadline=None)
@given(trace)
def test_a_serving_plan_never_crosses_a_dead_link(steps: list[tuple[float, float]]) -> None:
    run = Simulation()
    for bandwidths in steps:
        run.step(bandwidths)
        assert run.current is not None
        assert all(bandwidths[i] > 0 for i in range(PLANS[run.current][0]))


@settings(max_examples=200, deadline=None)
@given(trace, st.tuples(bandwidth, bandwidth))
def test_under_constant_conditions_it_settles_within_the_minimum_gain_of_the_best(
    steps: list[tuple[float, float]], last: tuple[float, float]
) -> None:
    run = Simulation()
    for bandwidths in steps:
        run.step(bandwidths)
    for _ in range(10):
        run.step(last)
    costs = {name: plan.cost_s for name, plan in candidates(last).items()}
    assert costs[str(run.current)] * 0.95 <= min(costs.values()) + 1e-12
    assert not run.step(last).changes
