"""`tiersplit reproduce autosplit`: every table, figure and section has rows that say what they are worth."""

import itertools
import re

import pytest

from tiersplit_cli.papers.autosplit.published import MODELS
from tiersplit_cli.papers.autosplit.section_5_3 import METHODS
from tiersplit_cli.papers.autosplit.tables import TABLES
from tiersplit_cli.papers.rows import Row

FAR = 0.15
NUMBER = re.compile(r"^-?[\d,]*\.?\d+")


def number(text: str) -> float | None:
    """The number that a value starts with."""
    found = NUMBER.match(text)
    return float(found[0].replace(",", "")) if found else None


def far_apart(row: Row) -> bool:
    """Whether paper and ours are numbers more than 15% apart."""
    paper, ours = number(row.paper), number(row.ours)
    return paper is not None and ours is not None and abs(ours - paper) > FAR * abs(paper)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_yields_rows_and_says_why_one_differs_by_more_than_15_percent(table: str) -> None:
    rows = TABLES[table]()
    prefix = f"autosplit/{table}/"
    assert rows and all(row.id.startswith(prefix) and row.quantity and row.paper and row.ours for row in rows)
    assert len({row.id for row in rows}) == len(rows)
    assert [row for row in rows if not row.note and (far_apart(row) or not row.comparable)] == []


def test_every_network_stands_against_every_method_and_says_why_it_leaves_the_paper_s_range() -> None:
    rows = {row.id: row for row in TABLES["section-5.3"]()}
    for model, (name, method) in itertools.product(MODELS, METHODS.items()):
        row = rows[f"autosplit/section-5.3/{name}/{model}"]
        inside = method.covers(float(row.ours.rstrip("%")) / 100)
        assert row.note.startswith("up to") is inside, row


def test_faster_rcnn_is_cloud_only_at_no_error_and_the_row_says_at_which_errors_it_is_not() -> None:
    rows = {row.id: row for row in TABLES["figure-8"]()}
    for name in ("faster_rcnn", "faster_rcnn_late"):
        assert "cloud-only for [0," in rows[f"autosplit/figure-8/{name}/outcome"].note


def test_the_joint_search_is_never_slower_than_one_decision_after_the_other() -> None:
    rows = [row for row in TABLES["section-4"]() if "joint search" in row.quantity]
    assert len(rows) == 4 * 9
    assert [row for row in rows if row.ours.startswith("-")] == []
