"""Profiles and the closed model on real Redis, database, engines and target: the books stay exact while workers die."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from ha_stress.base.errors import Conflict
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.events import Event
from ha_stress.store.store import open_store
from ha_stress.tasks.profile import Profile
from ha_stress.tasks.profile_text import parse_profile
from ha_stress.tasks.spec import HttpRequest, TaskSpec

from .engine_support import target_process
from .redis_server import cluster, valkey
from .stress_support import SmallNode, ended, small_cluster, until

__all__ = ["cluster", "valkey"]  # fixtures


async def crash(master: SmallNode, dying: SmallNode) -> None:
    """Kill it, and tell the master as the sentinels would."""
    dying.crash()
    detail: dict[str, object] = {"incarnation": dying.holder.incarnation}
    name = dying.holder.node
    await master.bus.add_event(Event(name="+odown", source="s1", epoch=1, subject=name, detail=detail, cause="crash"))


async def committed(node: SmallNode, task: str, count: int) -> None:
    async def are_there() -> bool:
        return sum(row.counters.completed for row in await node.store.rows(task)) >= count

    await until(are_there, f"{count} answers are in the books")


async def test_a_worker_dies_under_a_random_ramp_and_the_books_are_those_of_the_profile(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    profile = replace(parse_profile("stages 300@1s,300@1s,0@1s"), poisson_seed=11)
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, _, dying = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=0.0, duration_s=3.0, profile=profile)
            await committed(master, task, 50)
            await crash(master, dying)
            totals = await ended(master.store, task)
            assert totals.balanced
            assert totals.planned == totals.intended
            assert abs((totals.planned or 0) - 600) < 120, "it is random, and within five deviations"
            assert totals.started + totals.uncovered == totals.planned, "what the dead one had under way was started"
            plan = (await master.store.task(task)).plan
            assert plan is not None
            assert [revision.base for revision in plan.revisions] == [0, plan.revisions[0].limit]


async def test_a_rate_is_set_while_a_profile_runs(valkey: EmbeddedRedis, cluster: str, tmp_path: Path) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, *_ = await world.add("m", "a", "b")
            await world.promote(master)
            profile = Profile(sine_amplitude=50.0, sine_period_s=1.0)
            task = await world.run_task(master, target.url, rate=100.0, duration_s=None, profile=profile)
            await committed(master, task, 20)
            await master.store.set_rate(task, 100.0)
            await master.bus.hint_intent()

            async def is_flat() -> bool:
                plan = (await master.store.task(task)).plan
                return plan is not None and plan.newest.profile is None

            await until(is_flat, "the rate that was set has taken the place of the sine")
            await master.store.stop_task(task)
            await master.bus.hint_intent()
            totals = await ended(master.store, task)
            assert totals.balanced
            assert totals.planned == totals.completed == target.counted()


async def test_users_of_a_dead_worker_begin_anew_and_the_task_ends_when_all_have_stopped(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            master, _, dying = await world.add("m", "a", "b")
            await world.promote(master)
            task = await world.run_task(master, target.url, rate=0.0, duration_s=3.0, users=9, think_time_s=0.02)
            await committed(master, task, 50)
            await crash(master, dying)
            await trio.sleep(0.1)
            totals = await ended(master.store, task)
            assert totals.balanced
            assert (totals.planned, totals.uncovered, totals.dropped) == (None, 0, 0)
            assert all(row.counters.under_way == 0 for row in await master.store.rows(task) if row.holder.node == "a")
            plan = (await master.store.task(task)).plan
            assert plan is not None
            assert [holder.node for holder in plan.newest.holders] == ["a"]
            closed = {(row.holder.node, row.revision): row.counters.closed for row in await master.store.rows(task)}
            assert closed["a", plan.newest.number] == 9


async def test_a_rate_that_is_set_is_all_that_a_task_keeps_of_its_rates_and_users_have_none(tmp_path: Path) -> None:
    request = HttpRequest(url="http://127.0.0.1/")
    profile = replace(parse_profile("ramp 0..9 in 1s"), poisson_seed=3)
    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        await store.create_task(TaskSpec(id="p", name="p", request=request, rate=0.0, profile=profile))
        await store.set_rate("p", 0.0)
        record = await store.task("p")
        assert (record.spec.rate, record.spec.profile, record.intent) == (0.0, Profile(poisson_seed=3), 2)
        await store.set_rate("p", 0.0)
        assert (await store.task("p")).intent == 2
        await store.create_task(TaskSpec(id="u", name="u", request=request, rate=0.0, users=3))
        with pytest.raises(Conflict, match="has no rate"):
            await store.set_rate("u", 5.0)
