"""The plan of a task: every arrival has exactly one owner, whatever happens to the shares."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.base.limits import PART_KEPT_S, SLOTS_MIN
from ha_stress.drivers.stress import plan as plans
from ha_stress.drivers.stress import table
from ha_stress.tasks.ledger import Counters, Row
from ha_stress.tasks.schedule import Holder, Plan, planned, positions_before
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from ha_stress.tasks.turns import spread

A, B, C, D = (Holder(name, "i1") for name in "abcd")
START = 1_700_000_000.0


def spec(rate: float = 500.0, duration_s: float | None = 20.0) -> TaskSpec:
    return TaskSpec(id="t", name="t", request=HttpRequest(url="http://127.0.0.1/"), rate=rate, duration_s=duration_s)


def begun(*holders: Holder, rate: float = 500.0, duration_s: float | None = 20.0) -> Plan:
    weights = [(holder, 1.0) for holder in holders]
    return plans.begin(spec(rate, duration_s), weights, START, 0.0)


def total(plan: Plan) -> int:
    return sum(revision.limit or 0 for revision in plan.revisions)


def by_holder(plan: Plan) -> Counter[Holder]:
    counts: Counter[Holder] = Counter()
    for revision in plan.revisions:
        for holder in revision.holders:
            counts[holder] += planned(revision, holder) or 0
    return counts


def dues(plan: Plan) -> list[float]:
    return [r.at_s + p / r.rate for r in plan.revisions for p in range(r.limit or 0)]


# --- the table ---


def test_apportion_loses_nothing_regression_integer_splits_lost_rate() -> None:
    assert table.apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert table.apportion(100, [1, 1, 1]) == [34, 33, 33]
    assert table.apportion(7, [0, 2.5, 2.5]) == [0, 4, 3]


@given(st.integers(0, 5000), st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda w: sum(w) > 0))
def test_apportion_is_exact_and_within_one_of_the_quota(count: int, weights: list[float]) -> None:
    parts = table.apportion(count, weights)
    assert sum(parts) == count
    whole = math.fsum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - count * weight / whole) < 1 + 1e-6


def test_spread_is_the_order_of_smooth_weighted_round_robin() -> None:
    assert "".join("abc"[i] for i in spread([1, 2, 5])) == "cbcaccbc"
    assert spread([2, 2, 2]) == [0, 1, 2, 0, 1, 2]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_spread_spaces_everybody_evenly(counts: list[int]) -> None:
    slots = spread(counts)
    assert Counter(slots) == Counter({i: c for i, c in enumerate(counts) if c})
    for index, count in enumerate(counts):
        for length in range(1, len(slots) + 1):
            seen = slots[:length].count(index)
            assert abs(seen - count * length / len(slots)) <= len(counts)


def test_only_the_slots_of_the_leaver_move() -> None:
    before = table.first([(A, 1), (B, 1), (C, 1)])
    after = table.hand_over(before, [B], [A, C])
    moved = [slot for slot, owner in enumerate(before) if owner != after[slot]]
    assert {before[slot] for slot in moved} == {B}
    assert Counter(after) == {A: SLOTS_MIN // 2, C: SLOTS_MIN // 2}


def test_the_slots_of_a_leaver_go_to_the_others_in_their_proportions() -> None:
    before = table.first([(A, 1), (B, 2), (C, 1)])
    after = Counter(table.hand_over(before, [C], [A, B]))
    assert after == {A: 80, B: 160}


def test_a_newcomer_gets_its_share_with_the_fewest_moves() -> None:
    before = table.first([(A, 1), (B, 1)])
    after = table.level(before, [(A, 1), (B, 1), (C, 1)])
    moved = [slot for slot, owner in enumerate(before) if owner != after[slot]]
    assert Counter(after) == {A: 80, B: 80, C: 80}
    assert len(moved) == 80
    assert {after[slot] for slot in moved} == {C}


def test_a_table_that_is_too_small_is_repeated_and_that_moves_nothing() -> None:
    holders = [Holder(f"n{i}", "i") for i in range(12)]
    before = table.first([(holder, 1) for holder in holders[:2]])
    after = table.level(before, [(holder, 1) for holder in holders])
    assert len(after) == 2 * len(before) >= 24 * 12
    assert set(Counter(after).values()) == {40}
    moved = sum(owner != before[slot % len(before)] for slot, owner in enumerate(after))
    assert moved == 40 * 10


def test_a_second_look_moves_nothing() -> None:
    weights = [(A, 1.0), (B, 1.0), (C, 1.0)]
    owners = table.first(weights)
    assert table.level(owners, weights) == owners


# --- the plan ---


def test_a_new_task_begins_after_the_lead_with_exactly_its_arrivals() -> None:
    plan = plans.begin(spec(), [(A, 1.0), (B, 1.0), (C, 1.0)], START, 0.25)
    assert plan.started_at == START + 0.25
    assert plan.newest.number == 1
    assert plan.newest.at_s == 0.0
    assert total(plan) == 10_000
    assert sorted(by_holder(plan).values()) == [3333, 3333, 3334]


def test_a_task_without_a_duration_is_open() -> None:
    assert begun(A, duration_s=None).newest.limit is None


def test_moving_the_share_of_a_dead_holder_keeps_the_total_exact() -> None:
    plan = plans.move(begun(A, B), [B], [A], START + 8.2317, "b gone")
    assert total(plan) == 10_000
    assert plan.newest.holders == (A,)
    assert plan.revisions[0].limit == 4116


def test_a_move_keeps_the_phase_of_the_schedule() -> None:
    plan = plans.move(begun(A, B, rate=4.0, duration_s=3.0), [B], [A], START + 0.6, "b gone")
    assert dues(plan) == pytest.approx([p / 4 for p in range(12)])


def test_a_change_of_rate_keeps_the_proportions() -> None:
    plan = plans.begin(spec(), [(A, 1.0), (B, 3.0)], START, 0.0)
    changed = plans.change_rate(plan, 1000.0, START + 5)
    assert changed.newest.table == plan.newest.table
    assert changed.newest.rate_of(B) == pytest.approx(750)
    assert total(changed) == 500 * 5 + 1000 * 15


def test_a_rate_of_zero_pauses_and_another_rate_resumes() -> None:
    plan = plans.change_rate(begun(A), 0.0, START + 5)
    assert total(plan) == 2500
    plan = plans.change_rate(plan, 100.0, START + 10)
    assert total(plan) == 2500 + 1000


def test_a_slow_task_does_not_delay_its_own_speeding_up() -> None:
    plan = plans.change_rate(begun(A, rate=0.01, duration_s=None), 100.0, START + 10)
    assert plan.newest.at_s == pytest.approx(10 + 0.9 / 100)
    slow = plans.change_rate(plan, 0.01, START + 20)
    fast = plans.change_rate(slow, 100.0, START + 21)
    assert fast.revisions[-2].limit == 0
    assert 21 <= fast.newest.at_s <= 21.01


def test_a_cut_before_a_revision_has_begun_replaces_it() -> None:
    plan = plans.move(begun(A, B), [B], [A], START + 5, "b gone")
    plan = plans.change_rate(plan, 100.0, START + 5)
    assert [r.limit for r in plan.revisions[:2]] == [2500, 0]
    assert total(plan) == 2500 + 1500


def test_a_stop_closes_the_schedule_and_nothing_comes_after_it() -> None:
    plan = plans.end(begun(A, duration_s=None), START + 2)
    assert plan.duration_s == 2
    assert total(plan) == 1000
    assert plans.end(plan, START + 3) is plan
    assert plans.change_rate(plan, 9.0, START + 3) is plan
    assert plans.move(plan, [A], [B], START + 3, "late") is plan


def test_nothing_changes_beyond_the_end() -> None:
    plan = begun(A, B)
    assert plans.change_rate(plan, 1.0, START + 20) is plan
    assert plans.end(plan, START + 25) is plan


def test_with_no_heir_the_plan_stays() -> None:
    plan = begun(A)
    assert plans.move(plan, [A], [], START + 1, "a gone") is plan


def test_a_share_names_every_part_that_is_not_accounted_for() -> None:
    plan = plans.move(begun(A, B), [B], [A], START + 5, "b leaves")
    soon, later = START + 5, START + 5 + PART_KEPT_S + 1
    want = planned(plan.revisions[0], B)
    assert want is not None
    under_way = Row(holder=B, revision=1, counters=Counters(intended=want, started=want, completed=want - 1))
    done = Row(holder=B, revision=1, counters=Counters(intended=want, started=want, completed=want))

    def share(holder: Holder, rows: list[Row], now: float) -> list[int]:
        found = plans.shares_of(plan, spec(), {holder}, rows, now).get(holder)
        return [] if found is None else [part.revision for part in found.parts]

    assert share(A, [], later) == [1, 2]
    assert share(B, [], later) == [1]
    assert share(B, [under_way], later) == [1]
    assert share(B, [done], soon) == [1], "it may not have heard of the limit yet"
    assert share(B, [done], later) == []
    assert share(C, [], later) == []


# --- any sequence of operations ---


@dataclass(frozen=True)
class Step:
    kind: str
    after_s: float
    who: tuple[Holder, ...]
    rate: float


steps = st.builds(
    Step,
    kind=st.sampled_from(["rate", "move", "rebalance"]),
    after_s=st.floats(0, 4, allow_nan=False),
    who=st.lists(st.sampled_from([A, B, C, D]), min_size=1, max_size=4, unique=True).map(tuple),
    rate=st.sampled_from([0.5, 1.0, 7.3, 100.0, 500.0, 999.9]),
)


def perform(plan: Plan, step: Step, at_wall: float, *, rates: bool) -> Plan:
    if step.kind == "rate":
        return plans.change_rate(plan, step.rate, at_wall) if rates else plan
    if step.kind == "move":
        heirs = [holder for holder in plan.newest.holders if holder not in step.who] or [
            holder for holder in (A, B, C, D) if holder not in step.who
        ][:1]
        return plans.move(plan, step.who, heirs, at_wall, "gone")
    return plans.rebalance(plan, [(holder, 1.0) for holder in step.who], at_wall, "joined")


@given(st.lists(steps, max_size=8))
def test_however_shares_move_500_per_second_for_20_s_are_10000_arrivals(todo: list[Step]) -> None:
    plan, at = begun(A, B), START
    for step in todo:
        at += step.after_s
        plan = perform(plan, step, at, rates=False)
    assert total(plan) == 10_000
    assert sum(by_holder(plan).values()) == 10_000


@settings(max_examples=200)
@given(st.lists(steps, max_size=8))
def test_any_sequence_of_changes_keeps_the_books_exact(todo: list[Step]) -> None:
    plan, at, rate, integral, since = begun(A, B), START, 500.0, 0.0, START
    for step in todo:
        at += step.after_s
        before = plan
        plan = perform(plan, step, at, rates=True)
        if step.kind == "rate" and at < START + 20:
            integral, since, rate = integral + rate * (at - since), at, step.rate
        if plan is not before and step.kind == "rate":
            assert plan.newest.table == before.newest.table
        if plan is not before and step.kind == "move":
            old, new = plans.owners_of(before.newest), plans.owners_of(plan.newest)
            assert all(old[slot] in step.who for slot in range(len(old)) if old[slot] != new[slot])
        assert plan.revisions[: len(before.revisions) - 1] == before.revisions[:-1], "history does not change"
    integral += rate * (START + 20 - since)
    assert math.floor(integral - 1e-3) <= total(plan) <= math.ceil(integral + 1e-3)
    assert sum(by_holder(plan).values()) == total(plan)
    for revision in plan.revisions:
        assert revision.limit is not None
        owners = Counter(slot for holder in revision.holders for slot in revision.slots_of(holder))
        assert owners == Counter(range(len(revision.table))), "each slot has exactly one owner"
    times = dues(plan)
    assert times == sorted(times)
    assert all(0 <= due < 20 for due in times)


@given(st.lists(st.floats(0, 30), max_size=6), st.floats(0, 30))
def test_a_stop_at_any_time_ends_the_schedule_there(moves: list[float], stop_s: float) -> None:
    plan = begun(A, B)
    for at_s in sorted(moves):
        plan = plans.rebalance(plan, [(A, 1.0), (C if at_s > 10 else B, 1.0)], START + at_s, "")
    plan = plans.end(plan, START + max([stop_s, *moves]))
    assert plan.duration_s is not None
    assert total(plan) == positions_before(plan.duration_s, 500.0)
    assert all(due < plan.duration_s for due in dues(plan))
