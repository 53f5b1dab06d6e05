"""The master's eye on running tasks: from committed frames to breaches and outcomes, also over a failover."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.api import windows as live
from ha_stress.api.models_verdict import VerdictView
from ha_stress.api.verdict import measured, verdict_of
from ha_stress.api.windows import LiveWindows
from ha_stress.cluster.mastership import Mastership
from ha_stress.drivers.stress import observer as observing
from ha_stress.drivers.stress.core import Task
from ha_stress.drivers.stress.intake import Intake
from ha_stress.drivers.stress.observer import Observer
from ha_stress.engines.histogram import Recorder
from ha_stress.store import pages
from ha_stress.store.store import Store, TaskRecord
from ha_stress.tasks.course import Course
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.judging import Stretch
from ha_stress.tasks.ledger import Counters, Frame
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec, Wanted
from ha_stress.tasks.thresholds import parse_threshold
from ha_stress.tasks.verdict import EngineUse
from tests.engine_support import target_process
from tests.stress_support import SmallNode, ended, small_cluster, until

HOLDER = Holder("w", "i1")
BEGAN = 1_700_000_000.0
SLIDING = ("p99<20ms over 2s", "rate>=10 over 3s")


def frame(
    sequence: int,
    label: int,
    started: int,
    response_ms: float,
    *,
    task: str = "t",
    warm_up: bool = False,
    **numbers: Any,
) -> Frame:
    recorder = Recorder()
    for _ in range(0 if warm_up else started):
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
        warm_up=warm_up,
        counters=counters,
        response_us=recorder.drain(),
    )


async def recorded(store: Store, *thresholds: str, warm_up_s: float = 0.0) -> Task:
    """A task of 10 s on two engines of which each second has 20 arrivals; the 6th one is slow, and the 8th has only 8. Of a
    second in which the warm-up ends the first engine counted what was due in it."""
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
        frame(
            2 * label + engine,
            label,
            4 if label == 8 else 10,
            50.0 if label == 6 else 1.0,
            cpu_us=990_000 * engine,
            warm_up=label + engine < warm_up_s + 1,
        )
        for label in range(1, 11)
        for engine in range(2)
    ]
    await store.commit_frames(record, frames, "")
    return Task(spec=spec, wanted=Wanted.RUN, intent=1, status=Status.RUNNING, seen_intent=1, plan=plan)


async def told(store: Store, record: TaskRecord) -> VerdictView:
    """The verdict as the API tells it."""
    task = record.spec.id
    response, service = (distribution([blob]) for blob in await store.latencies(task))
    found = await measured(store, record, LiveWindows(store))
    return verdict_of(record, await store.rows(task), response, service, found)


@pytest.mark.parametrize("page", [1, 3, 7, 3000])
async def test_the_outcome_is_the_same_however_the_frames_are_read(
    page: int, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SERIES_PAGE_FRAMES", page)
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
        now, final = await told(store, running), await told(store, over)
    # Behind the warm-up are half of label 5, and all of labels 6 to 10: 10 + 4 x 20 + 8 arrivals in 5.5 s.
    assert {one.text: (one.observed, one.ok) for one in final.thresholds} == {
        "p99<20ms over 2s": (pytest.approx(50, rel=1e-3), False),
        "rate>=10 over 3s": (16.0, True),
        "completed>=100": (98.0, False),
        "rate>=15": (pytest.approx(98 / 5.5), True),
    }
    assert (final.passed, final.valid, final.saturated) == (False, False, True)
    assert [one.name for one in final.validity if not one.ok] == ["cpu"]
    assert [one.ok for one in now.thresholds][2:] == [False, True]
    assert now.thresholds[0].window is not None, "while it runs: of the last seconds"


@pytest.mark.parametrize("page", [3, 7, 3000])
async def test_the_newest_seconds_are_in_the_live_verdict_however_many_frames_there_are(
    page: int, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SERIES_PAGE_FRAMES", page)
    async with small_cluster(redis_url, f"live-{page}", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        await recorded(node.store, *SLIDING)
        now = await told(node.store, await node.store.task("t"))
    windows = {one.text: one.window and (one.window.from_s, one.window.to_s) for one in now.thresholds}
    assert windows == {"p99<20ms over 2s": (4.0, 6.0), "rate>=10 over 3s": (5.0, 8.0)}
    assert now.remark == ""


async def test_windows_with_too_many_frames_are_shown_as_the_master_last_kept_them_and_it_is_said(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SERIES_PAGE_FRAMES", 3)
    monkeypatch.setattr(live, "SERIES_FRAMES_MAX", 8)
    async with small_cluster(redis_url, "many", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        await recorded(node.store, *SLIDING)
        record = await node.store.task("t")
        kept = {"until": 1, "worst": {SLIDING[1]: [7.0, int(BEGAN) + 1, int(BEGAN) + 3]}}
        found = await told(node.store, replace(record, outcome={"windows": kept}))
    assert "more than 6,000 frames" in found.remark
    assert [(one.observed, one.ok) for one in found.thresholds] == [(None, None), (7.0, False)]


@pytest.mark.parametrize(("pauses", "again"), [(0, 48 / 3), (1e9, 0.0)])
async def test_windows_are_not_looked_at_again_before_ten_times_as_long_as_it_took(
    pauses: float, again: float, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PAUSES", pauses)
    async with small_cluster(redis_url, f"again-{again:g}", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        await recorded(node.store, SLIDING[1])
        windows, record = LiveWindows(node.store), await node.store.task("t")
        stretch = Stretch(begin=int(BEGAN) + 1, full=(int(BEGAN) + 1, None))
        first = await windows.worst(record, stretch, int(BEGAN) + 20)
        later = await windows.worst(record, stretch, int(BEGAN) + 10)
    found = [one[SLIDING[1]] for one in (first, later) if one is not None]
    assert [one and one.value for one in found] == [0.0, again], "nothing came in the seconds that were looked at first"


async def test_one_slow_look_at_windows_does_not_hold_those_of_other_tasks(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_cluster(redis_url, "slow", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        await recorded(node.store, SLIDING[1])
        windows, record = LiveWindows(node.store), await node.store.task("t")
        other = replace(record, spec=replace(record.spec, id="u"))
        stretch = Stretch(begin=int(BEGAN) + 1, full=(int(BEGAN) + 1, None))
        asked, real = trio.Event(), node.store.series

        async def slow(task_id: str, **kwargs: Any) -> Any:
            if task_id == "u":
                asked.set()
                await trio.sleep_forever()
            return await real(task_id, **kwargs)

        monkeypatch.setattr(node.store, "series", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(windows.worst, other, stretch, int(BEGAN) + 10)
            await asked.wait()
            with trio.fail_after(5):
                assert await windows.worst(record, stretch, int(BEGAN) + 10)
            nursery.cancel_scope.cancel()


async def test_a_run_of_which_nothing_came_is_not_passed(redis_url: str, tmp_path: Path) -> None:
    """Its holder died before its first report, or it never began."""
    async with small_cluster(redis_url, "nothing", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        task = await recorded(node.store, "p99<1s", "failed<1", "error_rate<1% over 2s")
        unheard = replace(await node.store.task("t"), spec=replace(task.spec, id="u"))
        assert unheard.plan is not None
        died = replace(unheard, status=Status.ENDED, plan=replace(unheard.plan, lost=(HOLDER,)))
        lost = await told(node.store, died)
        never = await told(node.store, replace(unheard, status=Status.ENDED, plan=None))
        running = await told(node.store, unheard)
    assert [one.ok for one in lost.thresholds] == [False, True, False]
    assert (lost.passed, lost.valid) == (False, False)
    assert [one.observed for one in lost.validity if not one.ok] == [1.0], "all of it is uncovered"
    assert [one.ok for one in never.thresholds] == [False] * 3 and never.passed is False
    assert [one.ok for one in running.thresholds] == [None] * 3 and running.passed is None


@contextlib.asynccontextmanager
async def watched(
    node: SmallNode, tasks: list[Task], *, drained: bool = True
) -> AsyncIterator[tuple[Observer, list[None]]]:
    """An observer at work, and a list that grows with each of its looks at all tasks."""
    node.learn(Mastership(epoch=1, node="a", incarnation=node.holder.incarnation, why="a test"))
    node.acting = True
    intake = Intake(node, node.record(), lambda: None)
    looks: list[None] = []
    intake.rows["t"], intake.drained = await node.store.rows("t"), drained

    def asked() -> list[Task]:
        looks.append(None)
        return tasks

    async with trio.open_nursery() as nursery:
        observer = Observer(node, intake, tasks=asked, members=list, on_found=lambda: None)
        nursery.start_soon(observer.run)
        yield observer, looks
        nursery.cancel_scope.cancel()


async def is_true(found: object) -> bool:
    return bool(found)


async def test_histograms_are_decoded_and_judged_in_threads_for_the_loop_renews_the_lease(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: dict[str, set[bool]] = {}

    def noted(name: str, real: Any) -> Any:
        def noting(*args: Any, **kwargs: Any) -> Any:
            where.setdefault(name, set()).add(threading.current_thread() is threading.main_thread())
            return real(*args, **kwargs)

        return noting

    for module, name in ((pages, "seconds_of"), (Course, "see"), (observing, "distribution"), (observing, "judge")):
        monkeypatch.setattr(module, name, noted(name, getattr(module, name)))
    monkeypatch.setattr(observing, "_PERIOD_S", 0.01)
    monkeypatch.setattr(pages, "SERIES_PAGE_FRAMES", 3)
    async with small_cluster(redis_url, "threads", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        task = await recorded(node.store, *SLIDING, "p99<20ms abort", "p99<20ms over 2s abort", "dropped<0")
        async with watched(node, [task]) as (observer, looks):
            await until(lambda: is_true("aborted" in observer.found.get("t", {})), "the breach is confirmed")
            assert len(looks) >= 2, "it has to be seen twice"
            assert observer.found["t"]["aborted"]["threshold"] == "p99<20ms abort", "without abort nothing is done"
            outcome = await observer.finish(task)
        await told(node.store, await node.store.task("t"))
    assert where == {name: {False} for name in ("seconds_of", "see", "distribution", "judge")}
    assert outcome["windows"]["worst"][SLIDING[1]][0] == 16, "looks and the end do not get into each other's way"


@pytest.mark.parametrize("successor", [False, True])
async def test_the_verdict_is_of_all_frames_also_of_those_that_came_after_their_second_was_settled(
    successor: bool, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that could not send for a while, beside others that could."""
    monkeypatch.setattr(observing, "_PERIOD_S", 0.01)
    monkeypatch.setattr(observing, "_KEEP_S", 0.0)
    async with small_cluster(redis_url, f"late-{successor:d}", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        task = await recorded(node.store, *SLIDING, warm_up_s=0.5)
        async with watched(node, [task]) as (observer, _):
            await until(lambda: is_true("windows" in observer.found.get("t", {})), "a look is over")
            windows = observer.found["t"]["windows"]
            assert windows["until"] == int(BEGAN) + 6
            late = [frame(90, 2, 5, 200.0), frame(91, 8, 10, 1.0), frame(92, 2, 1, 1.0, warm_up=True)]
            await node.store.commit_frames(Mastership(epoch=1, node="a", incarnation="i", why="a test"), late, "")
            if successor:
                observer.forget("t")
            outcome = await observer.finish(replace(task, outcome={"windows": windows}))
    assert outcome["windows"]["worst"] == {
        SLIDING[0]: [pytest.approx(200, rel=1e-3), int(BEGAN) + 1, int(BEGAN) + 2],
        SLIDING[1]: [pytest.approx(58 / 3), int(BEGAN) + 6, int(BEGAN) + 8],
    }


async def test_nothing_is_settled_while_frames_are_known_to_be_on_their_way(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "_PERIOD_S", 0.01)
    monkeypatch.setattr(observing, "_KEEP_S", 0.0)
    async with small_cluster(redis_url, "undrained", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        async with watched(node, [await recorded(node.store, *SLIDING)], drained=False) as (observer, looks):
            await until(lambda: is_true(len(looks) > 3), "some looks are over")
            assert observer.found == {}


async def test_a_rate_is_not_too_low_for_frames_of_the_newest_second_that_are_still_to_come(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """188 arrivals in 10 s, and one of the 11th: at least 189 / 11 a second and at most 189 / 10, whatever is asked."""
    monkeypatch.setattr(observing, "_PERIOD_S", 0.01)
    async with small_cluster(redis_url, "rate", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        task = await recorded(node.store, "rate>=18.5 abort", "rate<=18.85 abort")
        assert task.plan is not None
        more = [frame(90, 11, 1, 1.0)]
        await node.store.commit_frames(Mastership(epoch=1, node="a", incarnation="i", why="a test"), more, "")
        async with watched(node, [replace(task, plan=replace(task.plan, duration_s=99.0))]) as (observer, looks):
            await until(lambda: is_true(len(looks) > 4), "some looks are over")
            assert observer.found == {}


@pytest.mark.parametrize(("limit", "uncovered"), [(206, 0), (210, 4)])
async def test_what_is_uncovered_of_the_warm_up_does_not_count(
    limit: int, uncovered: int, redis_url: str, tmp_path: Path
) -> None:
    """Of 108 arrivals of the warm-up a process that died has reported 90, of those behind it 98."""
    async with small_cluster(redis_url, f"uncovered-{limit}", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        task = await recorded(node.store, "uncovered<1", "intended>0", warm_up_s=4.5)
        assert task.plan is not None
        revision = replace(task.plan.newest, rate=24.0, limit=limit)
        plan = replace(task.plan, revisions=(revision,), lost=(HOLDER,))
        record = replace(await node.store.task("t"), plan=plan, status=Status.ENDED)
        found = await told(node.store, record)
    assert [one.observed for one in found.thresholds] == [uncovered, 98 + uncovered]
    shares = [one.observed for one in found.validity if one.name == "uncovered"]
    assert shares == [pytest.approx(uncovered / (98 + uncovered))]


@pytest.mark.parametrize("held", ["series_span", "series"])
async def test_a_look_that_ends_after_the_task_was_dropped_leaves_nothing_behind(
    held: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "_PERIOD_S", 0.01)
    monkeypatch.setattr(observing, "_KEEP_S", 0.0)
    async with small_cluster(redis_url, f"dropped-{held}", tmp_path) as cluster:
        (node,) = await cluster.add("a")
        tasks = [await recorded(node.store, *SLIDING)]
        asked, dropped, real = trio.Event(), trio.Event(), getattr(node.store, held)

        async def slow(*args: Any, **kwargs: Any) -> Any:
            asked.set()
            await dropped.wait()
            return await real(*args, **kwargs)

        monkeypatch.setattr(node.store, held, slow)
        async with watched(node, tasks) as (observer, looks):
            await asked.wait()
            tasks.clear()
            observer.forget("t")
            dropped.set()
            before = len(looks)
            await until(lambda: is_true(len(looks) > before), "the look is over")
            assert observer.found == {}


@pytest.mark.parametrize("text", ["completed<150 abort", "completed{GET /cart}<75 abort"])
async def test_a_breach_ends_the_task_also_under_the_next_master(redis_url: str, tmp_path: Path, text: str) -> None:
    with target_process() as target:
        async with small_cluster(redis_url, f"breach-{len(text)}", tmp_path) as cluster:
            first, second = await cluster.add("a", "b")
            await cluster.promote(first)
            asked: dict[str, Any] = {
                "thresholds": (parse_threshold(text),),
                "mix": (HttpRequest(url=f"{target.url}/cart"),),
            }
            task = await cluster.run_task(first, target.url, rate=60.0, duration_s=120.0, **asked)

            async def began() -> bool:
                return bool(await first.store.rows(task))

            await until(began, "the load runs")
            await cluster.promote(second)
            first.learn(second.record())
            books = await ended(second.store, task)
            record = await second.store.task(task)
    assert books.balanced and books.intended < 120 * 60
    assert record.outcome["aborted"]["threshold"] == text
    assert record.outcome["aborted"]["observed"] >= (75 if "cart" in text else 150)
    assert record.wanted is Wanted.RUN, "the operator did not ask for it"
    assert [len(node.said("+aborted")) for node in (first, second)] == [0, 1]
