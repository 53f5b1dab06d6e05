"""Thresholds while a task runs: what is settled, what is broken, and when a breach may end the task."""

from __future__ import annotations

from typing import Any

from ha_stress.drivers.stress.breach import breaches, confirmed
from ha_stress.drivers.stress.core import EndTask, SavePlan
from ha_stress.tasks.course import Course, course_of, stored_of
from ha_stress.tasks.judging import Second, Stretch, Totals, judge
from ha_stress.tasks.ledger import Counters
from ha_stress.tasks.spec import Status, Wanted
from ha_stress.tasks.thresholds import parse_threshold
from tests.test_master_core import Play, node

STRETCH = Stretch(begin=101, full=(101, None))


def second(label: int, started: int) -> Second:
    return Second(label=label, counters=Counters(started=started, completed=started, intended=started))


def course(*texts: str, stored: Any = None) -> Course:
    return course_of([parse_threshold(text) for text in texts], STRETCH.begin, stored or {})


def test_the_newest_second_is_left_alone_until_its_frames_have_come() -> None:
    one = course("rate>=10 over 2s")
    recent = one.see([second(101, 10), second(102, 10), second(103, 1)], STRETCH, newest=103)
    assert [found.last for found in recent["rate>=10 over 2s"]] == [102]


def test_a_late_frame_corrects_a_second_that_is_not_settled() -> None:
    one = course("rate>=10 over 2s")
    one.see([second(101, 10), second(102, 4), second(103, 4)], STRETCH, newest=103)
    assert one.wanted() == 101, "nothing of it is settled yet"
    recent = one.see([second(101, 10), second(102, 10), second(103, 10), second(104, 1)], STRETCH, newest=104)
    assert [found.value for found in recent["rate>=10 over 2s"]] == [10.0, 10.0]


def test_what_is_settled_is_forgotten_but_for_its_worst_window() -> None:
    one = course("rate>=10 over 2s")
    for newest in range(103, 161):
        one.see([second(label, 4 if label == 110 else 10) for label in range(one.wanted(), newest + 1)], STRETCH,
                newest=newest)  # fmt: skip
        assert len(one.seconds) < 10
    found = one.worst["rate>=10 over 2s"]
    assert (found.value, found.first, found.last) == (7.0, 109, 110)


def test_a_successor_goes_on_where_the_state_was_kept() -> None:
    one = course("rate>=10 over 2s")
    one.see([second(label, 4 if label == 103 else 10) for label in range(101, 121)], STRETCH, newest=120)
    two = course("rate>=10 over 2s", stored=stored_of(one))
    assert two.wanted() == one.until  # a window that ends behind it begins there
    two.see([second(label, 10) for label in range(two.wanted(), 131)], STRETCH, newest=130, final=True)
    assert two.worst["rate>=10 over 2s"].value == 7.0
    assert two.until == 130


def test_only_windows_behind_the_grace_period_abort() -> None:
    threshold = parse_threshold("rate>=10 over 2s abort after 5s")
    one = course(threshold.text)
    recent = one.see([second(label, 1) for label in range(101, 106)], STRETCH, newest=105)
    early = breaches([], recent, [threshold], started_at=100.0, measured_s=4.0, newest=105)
    assert early == {}
    recent = one.see([second(label, 1) for label in range(one.wanted(), 110)], STRETCH, newest=109)
    found, *_ = breaches([], recent, [threshold], started_at=100.0, measured_s=8.0, newest=109).values()
    assert found == {"threshold": threshold.text, "observed": 1.0, "from_s": 5.0, "to_s": 7.0}


def test_frames_that_always_come_late_make_no_window_broken_twice() -> None:
    threshold = parse_threshold("rate>=10 over 2s abort")
    one, before = course(threshold.text), frozenset[tuple[str, int]]()
    for newest in range(103, 120):  # of the second before the newest one half of the frames are still on their way
        some = [second(label, 10 if label < newest - 1 else 5) for label in range(one.wanted(), newest + 1)]
        recent = one.see(some, STRETCH, newest=newest)
        seen = breaches([], recent, [threshold], started_at=100.0, measured_s=9.0, newest=newest)
        assert seen
        assert confirmed(seen, before, newest=newest) == []
        before = frozenset(seen)


def test_a_threshold_over_the_whole_run_aborts_once_it_may() -> None:
    thresholds = [parse_threshold("failed<3 abort after 10s"), parse_threshold("dropped==0")]
    totals = Totals(counters=Counters(failed={"reset": 5}, dropped=9), uncovered=0, measured_s=9.0)
    judged = judge(thresholds, totals, {}, final=False)
    assert breaches(judged, {}, thresholds, started_at=100.0, measured_s=9.0, newest=109) == {}
    found = breaches(judged, {}, thresholds, started_at=100.0, measured_s=10.0, newest=110)
    assert list(found) == [("failed<3 abort after 10s", 0)], "without abort a breach is only judged at the end"


def test_a_rate_over_a_moment_aborts_nothing() -> None:
    thresholds = [parse_threshold("rate>=10 abort")]
    judged = judge(thresholds, Totals(counters=Counters(), uncovered=0, measured_s=1.0), {}, final=False)
    assert breaches(judged, {}, thresholds, started_at=100.0, measured_s=1.0, newest=101) == {}
    assert breaches(judged, {}, thresholds, started_at=100.0, measured_s=3.0, newest=103)


ABORTED = {"aborted": {"threshold": "failed<1 abort", "observed": 3.0, "at": 0.0, "after_s": 2.0}}


def test_a_breach_ends_the_schedule_and_says_why() -> None:
    play = Play(node("a"), duration_s=60.0)
    play.look()
    play.found = ABORTED
    decision = play.look(5.0)
    assert isinstance(decision, SavePlan)
    assert [note.name for note in decision.notes] == ["+aborted"]
    assert decision.notes[0].cause == "threshold 'failed<1 abort' is broken"
    assert (play.task.status, play.task.wanted) == (Status.STOPPING, Wanted.RUN)
    assert play.task.outcome == ABORTED
    assert play.plan.duration_s is not None and play.plan.duration_s < 6.0


def test_a_new_master_reads_of_the_breach_in_the_outcome_and_keeps_the_end() -> None:
    play = Play(node("a"), duration_s=60.0)
    play.look()
    play.found = ABORTED
    play.look(5.0)
    before, play.found = play.plan, {}
    assert play.look(0.1) is None, "the schedule has its end already"
    play.account(*play.plan.newest.holders)
    decision = play.look(2.0)
    assert isinstance(decision, EndTask)
    assert (play.plan, play.task.outcome) == (before, ABORTED)
    assert "+aborted" not in [note.name for note in decision.notes]
