"""The plan of a task under a profile: whatever happens to shares and rates, each arrival is somebody's, exactly once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.drivers.stress import plan as plans
from ha_stress.drivers.stress.told import as_told
from ha_stress.engines.pacing import Cursor
from ha_stress.store.shapes import plan_from_json, plan_to_json
from ha_stress.tasks.arrivals import arrivals_of
from ha_stress.tasks.ledger import Counters, Row, books, settled
from ha_stress.tasks.profile import Profile, Stage
from ha_stress.tasks.profile_text import parse_profile
from ha_stress.tasks.schedule import Holder, NodeAssignment, Plan, planned
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from ha_stress.wire.codec import decode, encode

A, B, C, D = (Holder(name, "i1") for name in "abcd")
EVERYBODY = (A, B, C, D)
START = 1_700_000_000.0
DURATION_S = 20.0

PROFILES = {
    "constant": None,
    "ramp": parse_profile("ramp 0..60 in 20s"),
    "falling": parse_profile("ramp 60..0 in 15s"),
    "stages": parse_profile("stages 40@5s,40@3s,0@2s,0@4s,80@4s,3@10s"),
    "steps": parse_profile("steps 10,0,50.5 every 4s"),
    "sine": parse_profile("sine 0..70 every 7s"),
    "poisson": Profile(poisson_seed=4),
    "poisson on a ramp": replace(parse_profile("ramp 0..60 in 20s"), poisson_seed=5),
    "poisson on a sine": Profile(sine_amplitude=20.0, sine_period_s=3.3, poisson_seed=6),
}


def spec(profile: Profile | None = None, **more: object) -> TaskSpec:
    fields: dict[str, object] = {"rate": 30.0, "duration_s": DURATION_S, **more}
    request = HttpRequest(url="http://127.0.0.1/")
    return TaskSpec(id="t", name="t", request=request, profile=profile, **fields)  # type: ignore[arg-type]


def begun(task: TaskSpec, *holders: Holder) -> Plan:
    return plans.begin(task, [(holder, 1.0) for holder in holders], START, 0.0)


def total(plan: Plan) -> int:
    return sum(revision.limit or 0 for revision in plan.revisions)


def fired(plan: Plan, task: TaskSpec, engines: int = 2) -> list[tuple[float, int]]:
    """What all engines of all holders send in the end, as they compute it: when, and the number of the arrival."""
    sent: list[tuple[float, int]] = []
    for share in plans.shares_of(plan, task, EVERYBODY, (), START).values():
        for part in share.parts:
            for engine in range(engines):
                cursor = Cursor(part, engine=engine, engines=engines, started_s=0.0)
                while some := cursor.take_numbered(1e9, 7):
                    sent += some
                assert cursor.exhausted
    return sorted(sent)


@dataclass(frozen=True)
class Step:
    kind: str
    after_s: float
    who: tuple[Holder, ...]
    rate: float


def steps(*kinds: str) -> st.SearchStrategy[list[Step]]:
    one = st.builds(
        Step,
        kind=st.sampled_from(kinds),
        after_s=st.one_of(st.sampled_from([0.0, 1.0, 2.5]), st.floats(0, 5, allow_nan=False)),
        who=st.lists(st.sampled_from(EVERYBODY), min_size=1, max_size=4, unique=True).map(tuple),
        rate=st.sampled_from([0.0, 0.5, 7.3, 100.0]),
    )
    return st.lists(one, max_size=7)


def perform(plan: Plan, task: TaskSpec, step: Step, at_wall: float) -> tuple[Plan, TaskSpec]:
    match step.kind:
        case "rate":
            flat = None if task.profile is None else Profile(poisson_seed=task.profile.poisson_seed)
            task = replace(task, rate=step.rate, profile=flat)
            return plans.change_rate(plan, step.rate, at_wall, flat), task
        case "stop":
            return plans.end(plan, at_wall), task
        case "die":
            heirs = [holder for holder in plan.newest.holders if holder not in step.who]
            return plans.move(plan, step.who, heirs, at_wall, "gone"), task
        case _:
            return plans.rebalance(plan, [(holder, 1.0) for holder in step.who], at_wall, "joined"), task


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(sorted(PROFILES)), todo=steps("die", "join"))
def test_shares_move_and_the_arrivals_stay_those_of_the_profile(kind: str, todo: list[Step]) -> None:
    task = spec(PROFILES[kind])
    plan, at = begun(task, A, B), START
    arrivals = arrivals_of(task.profile, task.rate)
    for step in todo:
        at += step.after_s
        plan, _ = perform(plan, task, step, at)
    sent = fired(plan, task)
    assert [number for _, number in sent] == list(range(arrivals.before(DURATION_S)))
    assert [due for due, _ in sent] == pytest.approx(arrivals.dues_s(range(len(sent))), abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(sorted(PROFILES)), todo=steps("die", "join", "rate", "stop"))
def test_any_sequence_of_changes_gives_each_arrival_to_one_engine(kind: str, todo: list[Step]) -> None:
    task = spec(PROFILES[kind])
    plan, at = begun(task, A, B), START
    for step in todo:
        at += step.after_s
        before = plan
        plan, task = perform(plan, task, step, at)
        assert plan.revisions[: len(before.revisions) - 1] == before.revisions[:-1], "history does not change"
        assert plans.change_rate(plan, task.rate, at, task.profile) is plan or plans.ended_by(plan, at)
    sent = fired(plan, task)
    assert [number for _, number in sent] == list(range(total(plan))), "in order, without gap, none twice"
    end_s = plan.duration_s
    assert end_s is not None
    assert all(0 <= due < end_s + 1e-6 for due, _ in sent)
    assert all(first.at_s <= second.at_s + 1e-9 for first, second in pairwise(plan.revisions) if first.limit)
    rows = [
        Row(holder=holder, revision=revision.number, counters=Counters(intended=n, started=n, completed=n))
        for revision in plan.revisions
        for holder in revision.holders
        if (n := planned(revision, holder) or 0)
    ]
    assert settled(plan, rows)
    totals = books(plan, rows)
    assert totals.balanced
    assert (totals.planned, totals.intended) == (len(sent), len(sent))


def test_a_rate_set_during_a_profile_takes_its_place_and_keeps_the_phase() -> None:
    task = spec(parse_profile("ramp 0..20 in 20s"))
    plan = plans.change_rate(begun(task, A, B), 10.0, START + 10)
    assert plan.newest.profile is None
    assert plan.newest.base == 50, "a ramp to 10/s in 10 s has 50 arrivals"
    assert total(plan) == 50 + 100
    assert fired(plan, task)[50][0] == pytest.approx(10.0)
    assert plan.newest.why == "rate set to 10 per second"
    late = plans.change_rate(begun(task, A, B), 10.0, START + 10.05)
    left = 51 - 10.05**2 / 2
    assert fired(late, task)[51][0] == pytest.approx(10.05 + left / 10)


def test_random_arrivals_stay_random_at_another_rate() -> None:
    task = spec(Profile(poisson_seed=1), rate=100.0, duration_s=200.0)
    plan = plans.change_rate(begun(task, A), 50.0, START + 100, task.profile)
    plan = plans.change_rate(plan, 0.0, START + 150, task.profile)
    plan = plans.change_rate(plan, 100.0, START + 160, task.profile)
    moments = [due for due, _ in fired(plan, task)]
    counts = [
        sum(begin <= due < end for due in moments) for begin, end in ((0, 100), (100, 150), (150, 160), (160, 200))
    ]
    assert counts[2] == 0
    for count, mean in zip(counts, (10_000, 2_500, 0, 4_000), strict=True):
        assert abs(count - mean) <= 4 * mean**0.5
    gaps = [after - before for before, after in pairwise(moments) if before > 160]
    assert len({round(gap, 9) for gap in gaps}) > 0.99 * len(gaps)


@pytest.mark.parametrize("kind", sorted(PROFILES))
def test_a_plan_comes_back_from_the_database_and_a_share_from_redis_as_they_were(kind: str) -> None:
    for task in (spec(PROFILES[kind]), closed(4)):
        plan = plans.move(begun(task, A, B), [B], [A], START + 6, "b gone")
        assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan
        shares = plans.shares_of(plan, task, {A}, (), START)
        assignment = NodeAssignment(epoch=1, revision=2, node="a", incarnation="i1", shares=tuple(shares.values()))
        assert decode(NodeAssignment, encode(assignment)) == assignment


def test_a_share_under_a_profile_says_all_that_an_engine_needs() -> None:
    task = spec(PROFILES["stages"])
    plan = plans.move(begun(task, A, B), [B], [A], START + 6, "b gone")
    (share,) = plans.shares_of(plan, task, {A}, (), START).values()
    first, second = share.parts
    assert (first.base, first.origin_s, first.profile) == (0, 0.0, task.profile)
    assert (second.base, second.origin_s, second.profile) == (first.limit, 0.0, task.profile)


def test_a_task_that_begins_with_a_pause_begins_with_its_first_arrival() -> None:
    task = spec(Profile(stages=(Stage(duration_s=5, begin=0, end=0), Stage(duration_s=5, begin=10, end=10))))
    plan = begun(task, A)
    assert plan.newest.at_s == 5
    assert plan.newest.limit == 50 + 100
    never = begun(spec(Profile(stages=(Stage(duration_s=5, begin=0, end=0),))), A)
    assert (never.newest.at_s, never.newest.limit) == (0.0, 0)


# --- the closed model ---


def closed(users: int = 10, duration_s: float | None = DURATION_S) -> TaskSpec:
    return spec(rate=0.0, users=users, think_time_s=0.5, duration_s=duration_s)


def users_by_holder(plan: Plan) -> Counter[Holder]:
    return Counter({holder: len(slots) for holder, slots in plan.newest.slots_by_holder().items()})


def stopped(plan: Plan, *holders: Holder) -> list[Row]:
    return [
        Row(
            holder=holder,
            revision=revision.number,
            counters=Counters(closed=len(slots), intended=3, started=3, completed=3),
        )
        for revision in plan.revisions
        for holder, slots in revision.slots_by_holder().items()
        if holder in holders
    ]


def test_users_are_shared_out_one_slot_each() -> None:
    plan = begun(closed(10), A, B, C)
    assert sorted(users_by_holder(plan).values()) == [3, 3, 4]
    assert (plan.newest.users, plan.newest.limit, plan.newest.until_s) == (10, 0, DURATION_S)
    endless = begun(closed(2, None), A, B, C)
    assert sum(users_by_holder(endless).values()) == 2
    assert (endless.newest.limit, endless.newest.until_s) == (None, None)


def test_the_users_of_a_dead_holder_begin_anew_with_the_others() -> None:
    plan = plans.move(begun(closed(10), A, B), [B], [A], START + 5, "b gone")
    old, new = plan.revisions
    assert (old.until_s, old.limit) == (5.0, 0)
    assert (new.at_s, new.until_s, new.users) == (5.0, DURATION_S, 10)
    assert users_by_holder(plan) == {A: 10}
    joined = plans.rebalance(plan, [(A, 1.0), (C, 1.0)], START + 7, "c joined")
    assert users_by_holder(joined) == {A: 5, C: 5}
    assert len(joined.newest.table) == 10


def test_a_stop_ends_the_users_and_another_rate_does_nothing_to_them() -> None:
    plan = plans.end(begun(closed(4, None), A), START + 3)
    assert (plan.newest.until_s, plan.newest.limit, plan.duration_s) == (3.0, 0, 3.0)
    assert plans.change_rate(plan, 100.0, START + 1) is plan


def test_users_are_settled_when_each_of_them_has_stopped_wherever_somebody_lives() -> None:
    task = closed(10)
    plan = plans.move(begun(task, A, B), [B], [A], START + 5, "b gone")
    lost = replace(plan, lost=(B,))
    rows = stopped(plan, A)
    assert settled(lost, rows)
    assert not settled(plan, rows), "b lives, so it will say that its users have stopped"
    assert settled(plan, stopped(plan, A, B))
    assert not settled(lost, rows[:1])
    busy = replace(rows[1], counters=replace(rows[1].counters, started=4, intended=4))
    assert not settled(lost, [rows[0], busy])
    totals = books(lost, rows)
    assert totals.balanced
    assert (totals.planned, totals.intended, totals.uncovered) == (None, 6, 0)


def test_a_share_of_users_is_told_until_all_of_them_have_stopped() -> None:
    task = closed(10)
    plan = plans.move(begun(task, A, B), [B], [A], START + 5, "b leaves")
    later = START + 100
    assert [p.revision for p in plans.shares_of(plan, task, {A, B}, (), later)[B].parts] == [1]
    rows = stopped(plan, B)
    assert set(plans.shares_of(plan, task, {A, B}, rows, later)) == {A}
    share = plans.shares_of(plan, task, {A}, rows, later)[A]
    assert (share.think_time_s, share.parts[0].users, share.parts[0].until_s) == (0.5, 10, 5.0)
    cursor = Cursor(share.parts[0], engine=0, engines=1, started_s=0.0)
    assert (cursor.due_s, cursor.take(1e9, 9)) == (inf, [])


def test_a_cut_among_users_that_nobody_heard_of_is_taken_back() -> None:
    for duration_s in (DURATION_S, None):
        task = closed(10, duration_s)
        before = begun(task, A, B)
        for after in (
            plans.move(before, [B], [A], START + 5, "b gone"),
            plans.end(before, START + 5),
        ):
            heard = [
                NodeAssignment(epoch=1, revision=1, node=holder.node, incarnation="i1", shares=(share,))
                for holder, share in plans.shares_of(before, task, {A, B}, (), START).items()
            ]
            assert as_told(after, task, heard) == before
