"""The verdict of a run: passed or not, and whether it may be believed; and the exit code that follows."""

from __future__ import annotations

from typing import Any

import pytest

from ha_stress.cli.run_exit import exit_code, exit_code_of, sentence
from ha_stress.tasks.judging import Judgement, Totals
from ha_stress.tasks.ledger import Counters
from ha_stress.tasks.thresholds import parse_threshold
from ha_stress.tasks.verdict import About, EngineUse, Evidence, Verdict, findings, verdict


def evidence(*, uncovered: int = 0, measured_s: float = 60.0, **numbers: int) -> dict[str, Any]:
    counters: dict[str, Any] = {"intended": 1000, "started": 1000, "completed": 1000} | numbers
    return {"totals": Totals(counters=Counters(**counters), uncovered=uncovered, measured_s=measured_s)}


def doubts(**what: Any) -> list[str]:
    return [one.name for one in findings(Evidence(**what)) if not one.ok]


def test_a_run_that_went_well_is_valid() -> None:
    well = evidence(late=20, dropped=10, uncovered=5)
    assert doubts(**well, engines=EngineUse(seconds=60, busy=3, peak=0.97), loop_lag_s=0.2, clock_skew_s=0.01) == []


@pytest.mark.parametrize(
    ("what", "name", "says"),
    [
        ({"engines": EngineUse(seconds=60, busy=50, peak=1.0)}, "cpu", "50 of 60 seconds: the generator is saturated"),
        (evidence(late=200), "late", "200 arrivals (20.00%) were begun over 10 ms after their schedule"),
        ({"loop_lag_s": 2.5}, "loop_lag", "by up to 2.50 s"),
        ({"clock_skew_s": 2.0}, "clock_skew", "synchronise them"),
        (evidence(dropped=100), "dropped", "the load was less than asked for"),
        ({**evidence(uncovered=50), "lost": ("n2",)}, "uncovered", "belonged to processes that died (n2)"),
    ],
)
def test_each_limit_has_a_name_and_a_sentence(what: dict[str, Any], name: str, says: str) -> None:
    found = findings(Evidence(**(evidence() | what)))
    (only,) = [one for one in found if not one.ok]
    assert only.name == name and says in only.sentence
    assert only.observed is not None and only.observed > only.limit


def test_one_pause_of_a_machine_is_no_saturation() -> None:
    assert doubts(**evidence(late=400, measured_s=1.0)) == []
    assert doubts(**evidence(late=400, measured_s=30.0)) == ["late"]
    assert doubts(**evidence(late=1000, measured_s=1.0)) == ["late"]


def test_one_late_arrival_of_few_is_a_pause_too() -> None:
    assert doubts(**evidence(started=3, late=1, measured_s=10.0)) == []
    (said,) = [one for one in findings(Evidence(**evidence(late=1))) if one.name == "late"]
    assert said.sentence == "1 arrival (0.10%) was begun over 10 ms after its schedule"
    assert doubts(**evidence(started=3, late=2, measured_s=10.0)) == ["late"]


def test_users_without_think_time_may_use_a_whole_core() -> None:
    busy = EngineUse(seconds=10, busy=10, peak=1.0)
    assert doubts(**evidence(), engines=busy, back_to_back=True) == []
    assert doubts(**evidence(), engines=busy) == ["cpu"]


def test_before_anything_is_measured_nothing_is_doubted() -> None:
    assert doubts(totals=Totals(counters=Counters(), uncovered=0, measured_s=0.0)) == []


def judged(*oks: bool | None) -> list[Judgement]:
    return [Judgement(threshold=parse_threshold("failed<1"), observed=0.0, ok=ok) for ok in oks]


def test_passed_is_what_all_thresholds_say() -> None:
    well = Evidence(**evidence())
    assert verdict([], well).passed is None
    assert verdict(judged(True, True), well).passed is True
    assert verdict(judged(True, None), well).passed is None
    assert verdict(judged(None, False), well).passed is False
    assert verdict(judged(True), well, {"threshold": "failed<1"}).passed is False


def test_a_saturated_generator_is_told_from_a_load_that_is_missing() -> None:
    missing = verdict([], Evidence(**evidence(dropped=500)))
    assert (missing.valid, missing.saturated) == (False, False)
    late = verdict([], Evidence(**evidence(late=900)))
    assert (late.valid, late.saturated) == (False, True)
    assert {one.about for one in late.findings} == set(About)


def task(found: Verdict | None = None, **changes: Any) -> dict[str, Any]:
    said = found or verdict([], Evidence(**evidence()))
    books = {"intended": 10, "completed": 10, "wrong": 0, "balanced": True} | changes.pop("books", {})
    told = {"passed": said.passed, "valid": said.valid, "saturated": said.saturated, "aborted": said.aborted}
    return {"status": "ended", "books": books, "failures": {}, "verdict": told} | changes


PASSED, BROKEN = judged(True), judged(False)
SATURATED, DROPPING = Evidence(**evidence(late=900)), Evidence(**evidence(dropped=500))
WELL = Evidence(**evidence())


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (task(), 0),
        (task(books={"completed": 9}), 4),
        (task(books={"wrong": 1}), 4),
        (task(verdict([], DROPPING), books={"completed": 5}), 4),
        (task(scenario={"setup_problem": "setup raised OSError"}), 4),
        (task(verdict(PASSED, SATURATED), scenario={"setup_problem": "setup raised OSError"}), 4),
        (task(scenario={"setup_problem": "", "teardown_problem": "teardown raised OSError"}), 0),
        (task(books={"balanced": False}), 5),
        (task(status="stopping"), 6),
        (task(verdict(PASSED, WELL)), 0),
        (task(verdict(PASSED, WELL), books={"completed": 9, "wrong": 2}), 0),  # thresholds decide, where there are any
        (task(verdict(BROKEN, WELL)), 7),
        (task(verdict(PASSED, WELL, {"threshold": "x"})), 7),
        (task(verdict(BROKEN, DROPPING)), 7),
        (task(verdict(PASSED, DROPPING)), 8),
        (task(verdict([], SATURATED)), 8),
        (task(verdict(PASSED, SATURATED)), 8),
        (task(verdict(BROKEN, SATURATED)), 8),
        (task(failures={"not_allowed": 10}, books={"completed": 0}), 9),
    ],
)
def test_the_exit_code_says_what_became_of_the_run(found: dict[str, Any], code: int) -> None:
    assert exit_code(found) == code
    assert exit_code_of([task(), found], interrupted=False) == code, "the gravest of several tasks"
    assert exit_code_of([found], interrupted=True) == 130
    strong, rest = sentence(code, [found])
    assert strong and rest


def test_the_last_sentence_says_what_it_is_judged_by_and_then_what_else_there_is() -> None:
    def said(found: Verdict, **books: int) -> str:
        return " ".join(sentence(exit_code(task(found, books=books)), [task(found, books=books)]))

    assert said(verdict(BROKEN, SATURATED)).endswith("and not the target's. A threshold is broken besides.")
    assert said(verdict(PASSED, SATURATED)).endswith("and not the target's.")
    assert (
        said(verdict(BROKEN, DROPPING)) == "Not passed: a threshold is broken, see above. The run is not valid either."
    )
    assert said(verdict(BROKEN, WELL)) == "Not passed: a threshold is broken, see above."
    assert said(verdict([], DROPPING), completed=5).endswith("uncovered above. The run is not valid either.")
    assert said(verdict([], WELL), completed=5).endswith("uncovered above.")
