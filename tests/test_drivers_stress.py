"""The driver `stress` on real Redis, database, engines and target: shares move, masters change, the books stay exact."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
import trio

from ha_stress.base.errors import Fenced
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.events import Event
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.schedule import NodeAssignment, Plan
from ha_stress.tasks.spec import HttpRequest, Status

from .engine_support import target_process
from .redis_server import cluster, own_valkey, valkey
from .stress_support import SmallCluster, SmallNode, ended, small_cluster, until

__all__ = ["cluster", "own_valkey", "valkey"]  # fixtures


async def running(node: SmallNode, task: str) -> Plan:
    """Wait until the load runs: results of the task are committed."""

    async def has_rows() -> bool:
        return bool(await node.store.rows(task))

    await until(has_rows, "results are committed")
    plan = (await node.store.task(task)).plan
    assert plan is not None
    return plan


async def moved_to(node: SmallNode, task: str, names: list[str]) -> Plan:
    """Wait until exactly these nodes hold the task's newest revision."""

    async def is_moved() -> bool:
        plan = (await node.store.task(task)).plan
        return plan is not None and sorted(h.node for h in plan.newest.holders) == names

    await until(is_moved, f"the shares are with {names}")
    plan = (await node.store.task(task)).plan
    assert plan is not None
    return plan


def mixed(url: str) -> tuple[HttpRequest, ...]:
    """A second request beside that of the task."""
    return (HttpRequest(url=f"{url}/cart"),)


async def counted_by_name(node: SmallNode, task: str) -> dict[str, tuple[int, int]]:
    """What was completed under each name, and how many service times there are of it."""
    found = await node.store.requests(task)
    return {name: (one.completed, distribution([one.service_us]).total) for name, one in found.items()}


async def test_a_task_runs_on_two_workers_and_every_arrival_is_in_the_books(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, *_ = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=200, duration_s=2.0)
            totals = await ended(master.store, task)
            assert totals.balanced
            assert (totals.planned, totals.intended, totals.started, totals.completed) == (400, 400, 400, 400)
            assert target.counted() == 400
            holders = {row.holder.node for row in await master.store.rows(task)}
            assert holders == {"a", "b"}, "the master carries no share while others can"
            names = [event.name for event in master.events]
            assert names[0] == "+acting"
            assert names[1:] == ["+task", "+revision", "+task-end"]
            assert master.events[-1].detail["completed"] == 400


async def test_the_master_alone_works_and_hands_over_when_a_worker_comes(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            (master,) = await world.add("m")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=100, duration_s=3.0)
            await running(master, task)
            await world.add("a")
            await moved_to(master, task, ["a"])
            totals = await ended(master.store, task)
            assert (totals.planned, totals.completed, totals.uncovered) == (300, 300, 0)
            assert target.counted() == 300
            assert [event.subject for event in master.said("+node")] == ["a"]


@pytest.mark.parametrize("told", [True, False], ids=["declared objectively down", "only silent"])
async def test_the_share_of_a_dead_worker_moves_and_the_books_balance(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path, told: bool
) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, _, dying = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=75, duration_s=8.0)
            await running(master, task)
            dying.crash()
            if told:
                detail = {"incarnation": dying.holder.incarnation}
                await master.bus.add_event(Event(name="+odown", source="s1", epoch=1, subject="b", detail=detail))
            plan = await moved_to(master, task, ["a"])
            assert plan.lost == (dying.holder,)
            totals = await ended(master.store, task)
            assert totals.balanced
            assert totals.planned == totals.intended == 600
            assert totals.uncovered > 0
            assert totals.started + totals.uncovered == 600
            assert [event.subject for event in master.said("-node")] == ["b"]


async def test_a_suspended_worker_finds_that_its_share_was_taken_before_it_goes_on(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: a worker that woke up read its old assignment and sent what its heirs had sent already."""
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, _, asleep = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=200, duration_s=5.0)
            await running(master, task)
            asleep.suspend()
            detail = {"incarnation": asleep.holder.incarnation}
            await master.bus.add_event(
                Event(name="+odown", source="s1", epoch=1, subject="b", detail=detail, cause="silence")
            )
            await moved_to(master, task, ["a"])

            async def is_written() -> bool:
                plan = (await master.store.task(task)).plan  # one that was stored too late is made anew
                assignment = await master.bus.assignment("b")
                assert plan is not None and assignment is not None
                return [[p.limit for p in share.parts] for share in assignment.shares] == [[plan.revisions[0].limit]]

            await until(is_written, "what b finds when it wakes up is the closed share")
            await trio.sleep(1.2)  # longer than what an engine takes for a stall
            asleep.resume()
            totals = await ended(master.store, task)
            assert (totals.planned, totals.intended, totals.completed, totals.uncovered) == (1000, 1000, 1000, 0)
            assert target.counted() == 1000


async def test_a_change_is_planned_only_when_the_holders_can_be_told(
    own_valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: the plan was cut while Redis was away, and the workers went on beyond the cut."""
    with target_process() as target:
        async with small_cluster(own_valkey.url, cluster, tmp_path) as world:
            master, *_ = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=400, duration_s=8.0)
            await running(master, task)
            own_valkey.kill()
            await master.store.set_rate(task, 20)
            await trio.sleep(1.5)
            await trio.to_thread.run_sync(own_valkey.restart)
            totals = await ended(master.store, task, within_s=30.0)
            plan = (await master.store.task(task)).plan
            assert plan is not None and plan.newest.rate == 20
            assert totals.planned == totals.intended == totals.completed == target.counted()


async def test_a_plan_that_was_stored_too_late_is_made_anew(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: with a database that answered late, a cut lay in the past, and the heirs sent some arrivals twice."""
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, _, dying = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=200, duration_s=5.0)
            await running(master, task)
            detail = {"incarnation": dying.holder.incarnation}
            with contextlib.closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                dying.crash()
                event = Event(name="+odown", source="s1", epoch=1, subject="b", detail=detail, cause="crash")
                await master.bus.add_event(event)
                await trio.sleep(1.5)
                other.execute("ROLLBACK")
            await moved_to(master, task, ["a"])
            totals = await ended(master.store, task)
            assert totals.balanced
            assert totals.planned == totals.intended == 1000
            assert totals.started + totals.uncovered == 1000


async def test_a_second_master_takes_over_in_the_middle_and_no_arrival_is_lost_or_doubled(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            old, new, _ = await world.add("m", "n", "a")
            first = await world.promote(old)
            task = await world.run_task(old, target.url, rate=200, duration_s=3.0, mix=mixed(target.url))
            await running(old, task)
            await world.promote(new)

            async def fenced_out() -> bool:
                return not old.is_master

            await until(fenced_out, "the old master has met the higher epoch")
            with pytest.raises(Fenced):
                await old.store.save_state(first, task, status=Status.RUNNING, plan=None, seen_intent=1)
            with pytest.raises(Fenced):
                await old.bus.assign(
                    first,
                    NodeAssignment(epoch=1, revision=99, node="a", incarnation=world.nodes["a"].holder.incarnation),
                )
            totals = await ended(new.store, task)
            assert totals.balanced
            assert (totals.planned, totals.completed, totals.uncovered) == (600, 600, 0)
            assert target.counted() == 600
            assert await counted_by_name(new, task) == {"GET /": (300, 300), "GET /cart": (300, 300)}
            assert new.said("+acting")[0].detail["after_ms"] < 3000  # its clock runs on while the machine stands still
            assert {row.holder.node for row in await new.store.rows(task)} >= {"n", "a"}
            assert world.epoch in await new.store.failovers()


async def test_stopping_the_master_side_leaves_the_worker_side_running(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: promotion cancelled the very context that the new master ran on."""
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            (master,) = await world.add("m")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=200, duration_s=2.0)
            await running(master, task)
            assert master.master_scope is not None
            master.master_scope.cancel()

            async def all_arrived() -> bool:
                return target.counted() == 400

            await until(all_arrived, "the load went on to its end without a master")
            await world.promote(master)
            totals = await ended(master.store, task)
            assert (totals.planned, totals.completed) == (400, 400)


async def test_the_rate_changes_while_it_runs_and_a_stop_ends_it(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, *_ = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=100, duration_s=None)
            before = await running(master, task)
            await master.store.set_rate(task, 300)
            await master.bus.hint_intent()

            async def has_changed() -> bool:
                plan = (await master.store.task(task)).plan
                return plan is not None and plan.newest.rate == 300

            await until(has_changed, "there is a revision with the new rate")
            await trio.sleep(0.5)
            await master.store.stop_task(task)
            await master.bus.hint_intent()
            totals = await ended(master.store, task)
            assert totals.balanced
            assert totals.planned == totals.completed == target.counted()
            plan = (await master.store.task(task)).plan
            assert plan is not None
            assert plan.newest.table == before.newest.table


async def test_a_leaving_worker_hands_over_and_is_idle_with_nothing_uncovered(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, _, leaver = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=200, duration_s=3.0)
            await running(master, task)
            leaver.leaving = True
            await moved_to(master, task, ["a"])

            async def is_idle() -> bool:
                return leaver.idle

            await until(is_idle, "the leaver has nothing left to do")
            leaver.life.cancel()
            totals = await ended(master.store, task)
            assert (totals.planned, totals.completed, totals.uncovered) == (600, 600, 0)
            assert target.counted() == 600


async def test_a_worker_that_is_told_again_to_do_nothing_is_idle(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: after a failover a worker that had worked was never idle again; its stop ran into the deadline."""
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, worker = await world.add("m", "a")
            await world.promote(master)
            await ended(master.store, await world.run_task(master, target.url, rate=100, duration_s=0.5))
            await world.promote(master)

            async def is_idle_in_the_new_epoch() -> bool:
                return worker.info().applied[0] == master.record().epoch and worker.idle

            await until(is_idle_in_the_new_epoch, "the worker says that it is idle")


async def test_a_worker_that_is_cancelled_uploads_its_last_results(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: the last partial batch of results was never uploaded."""
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, _, cancelled = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=200, duration_s=3.0)
            await running(master, task)
            cancelled.life.cancel()
            totals = await ended(master.store, task)
            assert totals.balanced
            assert totals.started == target.counted(), "whatever it sent is in the books"
            assert totals.started + totals.uncovered == 600


async def test_a_lost_hint_and_a_lost_record_are_sent_again_until_applied(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: a task was marked running before a lossy send."""
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, worker = await world.add("m", "a")
            await world.promote(master)
            await deaf(world, worker)
            task = await world.run_task(master, target.url, rate=100, duration_s=2.0)
            totals = await ended(master.store, task)
            assert (totals.planned, totals.completed) == (200, 200)


async def deaf(world: SmallCluster, worker: SmallNode) -> None:
    """Lose what is assigned to the worker for a while: the record is deleted as soon as it is written."""
    from .redis_server import plain_client

    async def lose() -> None:
        client = plain_client(world.redis_url)
        key, version = worker.bus.keys.assignment("a"), worker.bus.keys.assignment_versions
        with trio.move_on_after(1.0):
            while True:
                client.delete(key, version)
                await trio.sleep(0.001)

    world.nursery.start_soon(lose)


async def test_redis_loses_its_data_and_the_books_are_still_exact(
    own_valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    from .redis_server import plain_client

    with target_process() as target:
        async with small_cluster(own_valkey.url, cluster, tmp_path) as world:
            master, *_ = await world.add("m", "a", "b")
            record = await world.promote(master)
            task = await world.run_task(master, target.url, rate=200, duration_s=3.0, mix=mixed(target.url))
            await running(master, task)
            plain_client(own_valkey.url).flushall()
            assert await master.bus.repair(record)
            totals = await ended(master.store, task, within_s=30.0)
            assert totals.balanced
            assert (totals.planned, totals.completed, totals.uncovered) == (600, 600, 0)
            assert target.counted() == 600
            assert await counted_by_name(master, task) == {"GET /": (300, 300), "GET /cart": (300, 300)}


async def test_redis_is_away_for_longer_than_the_expiry_and_nobody_loses_a_share(
    own_valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with small_cluster(own_valkey.url, cluster, tmp_path) as world:
            master, *_ = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=125, duration_s=8.0)
            before = await running(master, task)
            own_valkey.kill()
            await trio.sleep(1.5 * master.config.timing.info_expiry_s)
            await trio.to_thread.run_sync(own_valkey.restart)
            totals = await ended(master.store, task, within_s=30.0)
            assert (await master.store.task(task)).plan == before
            assert (totals.planned, totals.completed, totals.uncovered) == (1000, 1000, 0)
            assert target.counted() == 1000
            assert master.said("-node") == []


async def test_redis_takes_no_writes_for_longer_than_the_expiry_and_nobody_loses_a_share(
    own_valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    """Regression: it could be read all the time, so all others were found to be gone; the master took everything."""
    from .redis_server import plain_client

    outsider = plain_client(own_valkey.url)
    with target_process() as target:
        async with small_cluster(own_valkey.url, cluster, tmp_path) as world:
            master, *_ = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=125, duration_s=8.0)
            before = await running(master, task)
            outsider.config_set("maxmemory", "1")
            master.acting = False  # its lease has run out
            await trio.sleep(1.5 * master.config.timing.info_expiry_s)
            outsider.config_set("maxmemory", "0")
            await trio.sleep(master.config.timing.info_period_s)
            master.acting = True
            totals = await ended(master.store, task, within_s=30.0)
            assert (await master.store.task(task)).plan == before
            assert (totals.planned, totals.completed, totals.uncovered) == (1000, 1000, 0)
            assert target.counted() == 1000
            assert master.said("-node") == []
