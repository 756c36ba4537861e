"""What is told of a resource, and when: tables of views and seconds."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.adaptation import WALL, digest
from tiersplit_operator.adaptation.news import HEADS_S, SHORTEST_S, News
from tiersplit_operator.facts import AdaptationView, LinkSeen, Move

FAST, SLOW = digest("fast"), digest("slow")
VIEW = AdaptationView(
    digest("bundle"),
    FAST,
    "edge:2,cloud:3",
    nodes={FAST: 900},
    observed_s=0.1,
    links=(LinkSeen("edge", "cloud", 1e7, 0.01),),
)
OWN = Move(WALL, SLOW, "its link is slower", node="edge-7")
AT_ONCE = {
    "another plan": replace(VIEW, selected=SLOW),
    "observations fail": replace(VIEW, fallback="no head reports its link"),
    "a link is down": replace(VIEW, links=(LinkSeen("edge", "cloud", 0.0, 0.01),)),
    "a stage complains": replace(VIEW, problems={"net-edge-1": "no room"}),
}
IN_TIME = {
    "a head moves by itself": replace(VIEW, moves=(OWN,), nodes={FAST: 899, SLOW: 1}),
    "a head comes": replace(VIEW, nodes={FAST: 901}),
    "a link is a fifth faster": replace(VIEW, links=(LinkSeen("edge", "cloud", 1.2e7, 0.01),)),
}


def told(at=100.0):
    news = News()
    assert news.wait_s(VIEW, at) == 0.0
    return news


@pytest.mark.parametrize("case", AT_ONCE)
def test_what_people_wait_for_is_told_within_a_second(case):
    news = told()
    assert news.wait_s(AT_ONCE[case], 100.25) == SHORTEST_S - 0.25
    assert news.wait_s(AT_ONCE[case], 101.0) == 0.0
    assert news.wait_s(AT_ONCE[case], 102.0) is None


@pytest.mark.parametrize("case", IN_TIME)
def test_what_heads_do_by_themselves_is_told_now_and_then(case):
    news = told()
    assert news.wait_s(IN_TIME[case], 102.0) == HEADS_S - 2.0
    assert news.wait_s(IN_TIME[case], 110.0) == 0.0
    assert news.wait_s(IN_TIME[case], 111.0) is None


def test_heads_that_move_each_second_are_told_six_times_a_minute():
    news, tales = told(), 0
    for second in range(1, 121):
        moved = replace(OWN, at=WALL + timedelta(seconds=second))
        tales += news.wait_s(replace(VIEW, moves=(moved,)), 100.0 + second) == 0.0
    assert tales == 12


def test_news_beside_a_heads_move_does_not_wait_for_it():
    news = told()
    both = replace(AT_ONCE["another plan"], moves=(OWN,))
    assert news.wait_s(both, 101.0) == 0.0
