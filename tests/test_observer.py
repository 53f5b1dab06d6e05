"""The master's eye on running tasks: from committed frames to breaches and outcomes, also over a failover."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ha_stress.api.verdict import measured, verdict_of
from ha_stress.cluster.mastership import Mastership
from ha_stress.drivers.stress import observer as observing
from ha_stress.drivers.stress.core import Task
from ha_stress.drivers.stress.intake import Intake
from ha_stress.drivers.stress.observer import Observer
from ha_stress.engines.histogram import Recorder
from ha_stress.store.store import Store
from ha_stress.tasks.ledger import Counters, Frame
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec, Wanted
from ha_stress.tasks.thresholds import parse_threshold
from ha_stress.tasks.verdict import EngineUse
from tests.engine_support import target_process
from tests.stress_support import ended, small_cluster, until

HOLDER = Holder("w", "i1")
BEGAN = 1_700_000_000.0
SLIDING = ("p99<20ms over 2s", "rate>=10 over 3s")


def frame(sequence: int, label: int, started: int, response_ms: float, *, task: str = "t", **numbers: Any) -> Frame:
    recorder = Recorder()
    for _ in range(started):
        recorder.record(round(response_ms * 1000))
    counters = Counters(intended=started, started=started, completed=started, **numbers)
    return Frame(
        node=HOLDER.node,
        incarnation=HOLDER.incarnation,
        sequence=sequence,
        epoch=1,
        task=task,
        revision=1,
        engine=sequence % 2,
        second=int(BEGAN) + label,
        counters=counters,
        response_us=recorder.drain(),
    )


async def recorded(store: Store, *thresholds: str, warm_up_s: float = 0.0) -> Task:
    """A task of 10 s on two engines of which each second has 20 arrivals; the 6th one is slow, and the 8th has only 8."""
    spec = TaskSpec(
        id="t",
        name="t",
        request=HttpRequest(url="http://127.0.0.1/"),
        rate=20.0,
        duration_s=10.0,
        warm_up_s=warm_up_s,
        thresholds=tuple(parse_threshold(text) for text in thresholds),
    )
    revision = Revision(number=1, at_s=0.0, rate=20.0, holders=(HOLDER,), table=(0,) * 240, limit=188, why="a test")
    plan = Plan(started_at=BEGAN, duration_s=10.0, revisions=(revision,))
    record = Mastership(epoch=1, node="a", incarnation="i", why="a test")
    await store.take_over(record)
    await store.create_task(spec)
    await store.save_state(record, "t", status=Status.RUNNING, plan=plan, seen_intent=1)
    frames = [
        frame(2 * label + engine, label, 4 if label == 8 else 10, 50.0 if label == 6 else 1.0, cpu_us=990_000 * engine)
        for label in range(1, 11)
        for engine in range(2)
    ]
    await store.commit_frames(record, frames, "")
    return Task(spec=spec, wanted=Wanted.RUN, intent=1, status=Status.RUNNING, seen_intent=1, plan=plan)


@pytest.mark.parametrize("page", [1, 3, 7, 3000])
async def test_the_outcome_is_the_same_however_the_frames_are_read(
    page: int, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "SERIES_PAGE_FRAMES", page)
    async with small_cluster(redis_url, f"pages-{page}", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        task = await recorded(node.store, *SLIDING)
        intake = Intake(node, node.record(), lambda: None)
        observer = Observer(node, intake, tasks=lambda: [task], members=list, on_found=lambda: None)
        outcome = await observer.finish(task)
    label = int(BEGAN)
    found = outcome["windows"]["worst"]
    assert found["rate>=10 over 3s"] == [pytest.approx(48 / 3), label + 6, label + 8]
    assert found["p99<20ms over 2s"] == [pytest.approx(50, rel=1e-3), label + 5, label + 6]
    assert outcome["engines"] == {"seconds": 20, "busy": 10, "peak": 0.99}


async def test_an_engine_is_as_busy_as_all_its_tasks_make_it(redis_url: str, tmp_path: Path) -> None:
    async with small_cluster(redis_url, "busy", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        await recorded(node.store)
        other = [frame(100 + label, label, 1, 1.0, task="u", cpu_us=20_000) for label in (1, 2, 3, 20)]
        await node.store.commit_frames(Mastership(epoch=1, node="a", incarnation="i", why="a test"), other, "")
        began = int(BEGAN)
        use = await node.store.engine_use("t", first=began, last=began + 100)
        assert use == EngineUse(seconds=20, busy=10, peak=1.01)
        assert await node.store.engine_use("u", first=began + 4, last=began + 100) == EngineUse(seconds=1, peak=0.02)


async def test_the_api_judges_what_the_master_found(redis_url: str, tmp_path: Path) -> None:
    async with small_cluster(redis_url, "judged", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        store = node.store
        task = await recorded(store, *SLIDING, "completed>=100", "rate>=15", warm_up_s=4.5)
        intake = Intake(node, node.record(), lambda: None)
        observer = Observer(node, intake, tasks=lambda: [task], members=list, on_found=lambda: None)
        outcome = await observer.finish(task)
        running = replace(await store.task("t"), outcome={})
        over = replace(running, status=Status.ENDED, outcome=outcome)
        rows, blobs = await store.rows("t"), await store.latencies("t")
        now = verdict_of(running, rows, blobs, await measured(store, running))
        final = verdict_of(over, rows, blobs, await measured(store, over))
    # Labels 6 to 10 are wholly behind the warm-up: 4 x 20 + 8 arrivals in 5 s.
    assert {one.text: (one.observed, one.ok) for one in final.thresholds} == {
        "p99<20ms over 2s": (pytest.approx(50, rel=1e-3), False),
        "rate>=10 over 3s": (16.0, True),
        "completed>=100": (88.0, False),
        "rate>=15": (pytest.approx(88 / 5), True),
    }
    assert (final.passed, final.valid, final.saturated) == (False, False, True)
    assert [one.name for one in final.validity if not one.ok] == ["cpu"]
    assert [one.ok for one in now.thresholds][2:] == [False, True]
    assert now.thresholds[0].window is not None, "while it runs: of the last seconds"


async def test_a_breach_ends_the_task_also_under_the_next_master(redis_url: str, tmp_path: Path) -> None:
    with target_process() as target:
        async with small_cluster(redis_url, "breach", tmp_path) as cluster:
            first, second = await cluster.add("a", "b")
            await cluster.promote(first)
            broken = (parse_threshold("completed<150 abort"),)
            task = await cluster.run_task(first, target.url, rate=60.0, duration_s=120.0, thresholds=broken)

            async def began() -> bool:
                return bool(await first.store.rows(task))

            await until(began, "the load runs")
            await cluster.promote(second)
            first.learn(second.record())
            books = await ended(second.store, task)
            record = await second.store.task(task)
    assert books.balanced and books.intended < 120 * 60
    assert record.outcome["aborted"]["threshold"] == "completed<150 abort"
    assert record.outcome["aborted"]["observed"] >= 150
    assert record.wanted is Wanted.RUN, "the operator did not ask for it"
    assert [len(node.said("+aborted")) for node in (first, second)] == [0, 1]
