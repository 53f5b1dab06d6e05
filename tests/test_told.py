"""A change of a plan that a master persisted and told nobody is not carried out late by its successor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import trio

from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.drivers.stress import plan as plans
from ha_stress.drivers.stress.told import as_told, knows_newest
from ha_stress.tasks.schedule import Holder, NodeAssignment, Plan
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec

from .engine_support import target_process
from .redis_server import cluster, own_valkey, valkey
from .stress_support import ended, small_cluster, until

__all__ = ["cluster", "own_valkey", "valkey"]  # fixtures

A, B, C = (Holder(name, "i1") for name in "abc")
START = 1_700_000_000.0


def spec(duration_s: float | None = 20.0) -> TaskSpec:
    return TaskSpec(id="t", name="t", request=HttpRequest(url="http://127.0.0.1/"), rate=100, duration_s=duration_s)


def begun(duration_s: float | None = 20.0) -> Plan:
    return plans.begin(spec(duration_s), [(A, 1.0), (B, 1.0)], START, 0.0)


def told(plan: Plan, *holders: Holder) -> list[NodeAssignment]:
    """What these holders have been told: this plan."""
    shares = plans.shares_of(plan, spec(), holders, (), START)
    return [
        NodeAssignment(epoch=1, revision=1, node=h.node, incarnation=h.incarnation, shares=(shares[h],))
        for h in holders
        if h in shares
    ]


def test_a_cut_that_nobody_heard_of_is_taken_back() -> None:
    before = begun()
    after = plans.move(before, [B], [A], START + 5, "b gone")
    assert as_told(after, spec(), told(before, A, B)) == before


def test_two_cuts_that_nobody_heard_of_are_taken_back_together() -> None:
    before = begun()
    after = plans.rebalance(
        plans.move(before, [B], [A], START + 5, "b gone"), [(A, 1.0), (C, 1.0)], START + 6, "c joined"
    )
    assert as_told(after, spec(), told(before, A, B)) == before


def test_a_stop_that_nobody_heard_of_is_taken_back_and_the_task_ends_when_it_should() -> None:
    for duration_s in (20.0, None):
        before = begun(duration_s)
        after = plans.end(before, START + 5)
        assert as_told(after, spec(duration_s), told(before, A, B)) == before


def test_a_cut_behind_a_stop_that_was_told_keeps_the_stop() -> None:
    stopped = plans.end(begun(), START + 10)
    after = plans.move(stopped, [B], [A], START + 5, "b gone")
    assert as_told(after, spec(), told(stopped, A, B)) == stopped


def test_a_change_that_somebody_was_told_of_stays() -> None:
    before = begun()
    after = plans.move(before, [B], [C], START + 5, "b gone")
    for heard in (
        told(after, A, C),
        [*told(after, A), *told(before, B)],
        [*told(before, A), *told(after, B)],
        [*told(after, C), *told(before, A, B)],
    ):
        assert as_told(after, spec(), heard) is after


def test_with_no_word_about_the_task_the_plan_stays() -> None:
    after = plans.move(begun(), [B], [A], START + 5, "b gone")
    assert as_told(after, spec(), []) is after
    assert as_told(after, replace(spec(), id="another"), told(begun(), A)) is after


def test_who_has_the_newest_revision_knows_it() -> None:
    before = begun()
    after = plans.move(before, [B], [A], START + 5, "b gone")
    assert [knows_newest(after, "t", one) for one in (*told(after, A), *told(before, A))] == [True, False]


async def test_a_master_that_dies_between_persisting_and_telling_doubles_no_arrival(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: found by chaos. The successor gave to others what the untold holders had sent meanwhile."""
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            old, new, _, _ = await world.add("m", "n", "a", "b")
            first = await world.promote(old)
            task = await world.run_task(old, target.url, rate=200, duration_s=4.0)

            async def has_rows() -> bool:
                return bool(await old.store.rows(task))

            await until(has_rows, "results are committed")
            assert old.master_scope is not None
            old.master_scope.cancel()
            record = await old.store.task(task)
            assert record.plan is not None
            gone = [holder for holder in record.plan.newest.holders if holder.node == "b"]
            heirs = [holder for holder in record.plan.newest.holders if holder.node == "a"]
            cut = plans.move(record.plan, gone, heirs, old.clock.wall() + 0.1, "b gone")
            await old.store.save_state(first, task, status=Status.RUNNING, plan=cut, seen_intent=record.seen_intent)
            await trio.sleep(0.8)
            await world.promote(new)
            totals = await ended(new.store, task)
            assert totals.balanced
            assert (totals.planned, totals.intended, totals.completed) == (800, 800, 800)
            assert target.counted() == 800
