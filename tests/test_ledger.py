"""The books add up: intended = started + dropped + uncovered."""

from __future__ import annotations

from dataclasses import replace

from ha_stress.tasks.ledger import Counters, Row, add, books, missing, settled
from ha_stress.tasks.schedule import Holder, Plan, Revision

A, B = Holder("a", "1"), Holder("b", "1")
PLAN = Plan(
    started_at=0.0,
    duration_s=10.0,
    revisions=(Revision(number=1, at_s=0.0, rate=10.0, holders=(A, B), table=(0, 1), limit=100),),
)


def row(holder: Holder, **counts: int) -> Row:
    return Row(holder=holder, revision=1, counters=Counters(**counts))  # type: ignore[arg-type]


DONE_A = row(A, intended=50, started=49, completed=49, dropped=1)


def test_what_a_living_holder_has_not_reported_is_still_to_come() -> None:
    rows = [DONE_A, row(B, intended=20, started=20, completed=20)]
    assert missing(PLAN, rows) == {(1, B): 30}
    assert not settled(PLAN, rows)
    totals = books(PLAN, rows)
    assert (totals.intended, totals.uncovered) == (70, 0)
    assert totals.balanced


def test_what_a_lost_holder_has_not_reported_is_uncovered() -> None:
    plan = replace(PLAN, lost=(B,))
    rows = [DONE_A, row(B, intended=20, started=20, completed=15)]
    totals = books(plan, rows)
    assert (totals.planned, totals.intended, totals.uncovered, totals.dropped) == (100, 100, 30, 1)
    assert totals.balanced
    assert settled(plan, rows), "requests of a dead process are not waited for"


def test_a_late_frame_of_a_lost_holder_corrects_the_books() -> None:
    plan = replace(PLAN, lost=(B,))
    totals = books(plan, [DONE_A, row(B, intended=50, started=50, completed=50)])
    assert (totals.intended, totals.uncovered) == (100, 0)
    assert totals.balanced


def test_requests_under_way_keep_a_task_open() -> None:
    assert not settled(PLAN, [DONE_A, row(B, intended=50, started=50, completed=49)])
    assert settled(PLAN, [DONE_A, row(B, intended=50, started=50, completed=50)])


def test_an_open_schedule_is_never_settled() -> None:
    plan = replace(PLAN, duration_s=None, revisions=(replace(PLAN.newest, limit=None),))
    assert not settled(plan, [])
    assert books(plan, []).planned is None


def test_a_task_without_a_plan_has_empty_books() -> None:
    totals = books(None, [])
    assert (totals.planned, totals.intended) == (None, 0)
    assert totals.balanced


def test_counters_add_by_kind() -> None:
    both = add(
        [
            Counters(started=2, completed=1, failed={"timeout": 1}, statuses={"200": 1}),
            Counters(started=1, failed={"timeout": 1}, statuses={}),
        ]
    )
    assert both.failed == {"timeout": 2}
    assert both.failed_total == 2
    assert both.under_way == 0
