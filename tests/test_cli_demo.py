"""The demo's verdict, out of evidence; one invariant is broken at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ha_stress.cli.demo_report import Evidence, report_of

KILLED_AT_MS = 1_000_000.0


def event(
    sequence: int, after_ms: float, name: str, source: str, subject: str, epoch: int, campaign: int = 0
) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "at_ms": int(KILLED_AT_MS + after_ms),
        "name": name,
        "source": source,
        "subject": subject,
        "epoch": epoch,
        "cause": "crash",
        "detail": {"campaign": campaign} if campaign else {},
    }


EVENTS = [
    event(1, -5000, "+first-master", "n1", "n1", 1),
    event(2, 60, "+sdown", "s1", "n1", 1),
    event(3, 70, "+odown", "s1", "n1", 1),
    event(4, 100, "+switch-master", "s1", "n2", 2),
    event(5, 105, "+elected-leader", "s1", "s1", 1, campaign=2),
    event(6, 120, "+acting", "n2", "n2", 2),
]
BOOKS = {"intended": 100, "started": 100, "completed": 100, "failed": 0, "dropped": 0, "uncovered": 0}
GOOD = Evidence(
    target_url="http://127.0.0.1:1",
    counted=100,
    killed="n1",
    killed_incarnation="old",
    killed_at_ms=KILLED_AT_MS,
    epoch_before=1,
    events=EVENTS,
    task={"status": "ended", "books": BOOKS},
    failovers={2: {"cause": "crash", "phases": {"elected_ms": 20, "awarded_ms": 38}, "candidates": [{"node": "n2"}]}},
    status={
        "master": {"node": "n2", "acting": True},
        "nodes": [
            {"id": "n1", "role": "worker", "incarnation": "new"},
            {"id": "n2", "role": "master", "incarnation": "b"},
        ],
    },
    refused={"assign_work": True},
)


def test_the_report_has_the_phases_from_the_kill_to_the_first_act() -> None:
    report = report_of(GOOD)
    assert list(report) == ["ok", "target", "books", "failover", "invariants"]
    assert (
        report["ok"] and report["target"] == {"url": "http://127.0.0.1:1", "counted": 100} and report["books"] == BOOKS
    )
    assert report["failover"] == {
        "killed": "n1",
        "winner": "n2",
        "epoch_before": 1,
        "epoch_after": 2,
        "cause": "crash",
        "detect_ms": 70,
        "elect_ms": 12,
        "award_ms": 18,
        "act_ms": 20,
        "total_ms": 120,
        "candidates": [{"node": "n2"}],
    }


def test_a_foreign_target_is_not_asked_how_much_it_counted() -> None:
    report = report_of(replace(GOOD, counted=None))
    assert report["ok"] and "started_equals_counted" not in report["invariants"]
    assert report["target"]["counted"] is None


def with_books(**books: int) -> Evidence:
    return replace(GOOD, task={"status": "ended", "books": BOOKS | books})


@pytest.mark.parametrize(
    ("broken", "evidence"),
    [
        ("task_ended", replace(GOOD, task={"status": "stopping", "books": BOOKS})),
        ("books_balanced", with_books(intended=101)),
        ("started_equals_counted", replace(GOOD, counted=101)),
        ("nothing_uncovered", with_books(intended=101, uncovered=1)),
        ("one_winner_per_epoch", replace(GOOD, events=[*EVENTS, event(7, 200, "+switch-master", "s2", "n3", 2)])),
        ("one_leader_per_epoch", replace(GOOD, events=[*EVENTS, event(7, 200, "+elected-leader", "s2", "s2", 1, 2)])),
        ("new_master_is_acting", replace(GOOD, status=dict(GOOD.status) | {"master": {"node": "n2", "acting": False}})),
        ("old_master_is_worker", replace(GOOD, status=dict(GOOD.status) | {"nodes": []})),
        ("old_master_is_worker", replace(GOOD, killed_incarnation="new")),
        ("old_epoch_refused", replace(GOOD, refused={"assign_work": True, "take_over": False})),
        ("old_epoch_refused", replace(GOOD, refused={})),
        ("events_without_gap", replace(GOOD, events=[*EVENTS, event(8, 200, "+node", "n2", "n1", 2)])),
        ("total_below_500_ms", replace(GOOD, events=[*EVENTS[:5], event(6, 500, "+acting", "n2", "n2", 2)])),
    ],
)
def test_each_broken_invariant_is_named_and_breaks_the_verdict(broken: str, evidence: Evidence) -> None:
    report = report_of(evidence)
    assert not report["ok"]
    assert [name for name, holds in report["invariants"].items() if not holds] == [broken]


def test_without_a_successor_there_is_a_report_and_it_is_not_ok() -> None:
    report = report_of(replace(GOOD, events=EVENTS[:3], failovers={}, refused={}))
    assert not report["ok"]
    assert report["failover"]["winner"] is None and report["failover"]["total_ms"] is None
    assert report["failover"]["detect_ms"] == 70
