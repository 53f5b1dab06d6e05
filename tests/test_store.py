"""The contract of the task store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.base.errors import ConfigError, Conflict, Fenced, NotFound
from ha_stress.base.limits import REQUEST_NAME_CHARACTERS_MAX, REQUEST_NAMES_MAX
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.figures import FURTHER, RequestFigures
from ha_stress.tasks.ledger import Counters, Frame, books, settled
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec, Wanted
from tests.postgresql import NoPostgreSQL, PostgreSQL, private_postgresql

FIRST = Mastership(epoch=1, node="a", incarnation="a1", why="first")
SECOND = Mastership(epoch=2, node="b", incarnation="b1", why="elected")
TASK = TaskSpec(id="t-1", name="one", request=HttpRequest(url="http://127.0.0.1/", body=b"\0\xff"), rate=10.0)
A, B = Holder("a", "a1"), Holder("b", "b1")


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    try:
        with private_postgresql() as running:
            yield running
    except NoPostgreSQL as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, names: Iterator[int] = itertools.count()) -> str:  # noqa: B008
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    pytest.importorskip("psycopg")
    running: PostgreSQL = request.getfixturevalue("server")
    name = f"store{next(names)}"
    running.create_database(name)
    return running.url(name)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with open_store(url) as opened:
        yield opened


def histogram(value_us: int) -> bytes:
    recorded = HdrHistogram(1, 3_600_000_000, 3)
    recorded.record_value(value_us)
    blob: bytes = recorded.encode()
    return blob


def frame(sequence: int, holder: Holder = A, *, task: str = "t-1", revision: int = 1, second: int = 100) -> Frame:
    counters = Counters(intended=3, started=2, completed=1, dropped=1, failed={"reset": 1}, statuses={"200": 1})
    return Frame(
        node=holder.node,
        incarnation=holder.incarnation,
        sequence=sequence,
        epoch=1,
        task=task,
        revision=revision,
        engine=0,
        second=second,
        counters=counters,
        response_us=histogram(sequence),
        service_us=histogram(sequence + 1000),
    )


def plan(limit: int | None = None, lost: tuple[Holder, ...] = ()) -> Plan:
    revision = Revision(number=1, at_s=0.0, rate=10.0, holders=(A, B), table=(0, 1), limit=limit, why="start")
    return Plan(started_at=100.0, duration_s=None, revisions=(revision,), lost=lost)


async def picture(store: Store) -> object:
    """Everything that state methods can change."""
    return (
        await store.fence(),
        await store.tasks(),
        await store.rows("t-1"),
        await store.latencies("t-1"),
        await store.position(),
        await store.failovers(),
    )


# Intent


async def test_a_new_task_is_pending_and_has_no_plan(store: Store) -> None:
    await store.create_task(TASK)
    record = await store.task("t-1")
    assert record.spec == TASK
    assert (record.wanted, record.status, record.intent, record.seen_intent) == (Wanted.RUN, Status.PENDING, 1, 0)
    assert (record.plan, record.epoch, record.ended_at) == (None, 0, None)


async def test_every_change_of_intent_raises_its_number_and_nothing_else_does(store: Store) -> None:
    await store.create_task(TASK)
    await store.set_rate("t-1", 20.5)
    await store.set_rate("t-1", 20.5)
    await store.stop_task("t-1")
    await store.stop_task("t-1")
    record = await store.task("t-1")
    assert (record.spec.rate, record.wanted, record.intent) == (20.5, Wanted.STOP, 3)
    with pytest.raises(Conflict, match="asked to stop"):
        await store.set_rate("t-1", 30.0)


async def test_the_same_task_may_be_created_again_but_not_another_one_of_its_id(store: Store) -> None:
    await store.create_task(TASK)
    await store.create_task(TASK)
    assert (await store.task("t-1")).intent == 1
    with pytest.raises(Conflict, match="exists already"):
        await store.create_task(TaskSpec(id="t-1", name="other", request=TASK.request, rate=1.0))


async def test_an_unknown_id_is_not_found(store: Store) -> None:
    for attempt in (
        lambda: store.task("t-0"),
        lambda: store.set_rate("t-0", 1.0),
        lambda: store.stop_task("t-0"),
        lambda: store.save_state(FIRST, "t-0", status=Status.RUNNING, plan=None, seen_intent=0),
    ):
        with pytest.raises(NotFound, match="t-0"):
            await attempt()
    assert await store.fence() == NOBODY, "a refused write moves no fence"


async def test_a_rate_out_of_range_is_refused(store: Store) -> None:
    await store.create_task(TASK)
    for rate in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError):
            await store.set_rate("t-1", rate)


async def test_the_intent_of_an_ended_task_is_closed(store: Store) -> None:
    await store.create_task(TASK)
    await store.save_state(FIRST, "t-1", status=Status.ENDED, plan=plan(0), seen_intent=1, ended_at=9.0)
    with pytest.raises(Conflict, match="ended"):
        await store.set_rate("t-1", 1.0)
    with pytest.raises(Conflict, match="ended"):
        await store.stop_task("t-1")
    with pytest.raises(Conflict, match="cannot become running"):
        await store.save_state(FIRST, "t-1", status=Status.RUNNING, plan=plan(), seen_intent=1)
    assert [task.spec.id for task in await store.tasks()] == ["t-1"]
    assert await store.tasks(open_only=True) == []


async def test_tasks_come_newest_first_and_bounded(store: Store) -> None:
    for number in range(3):
        await store.create_task(TaskSpec(id=f"t-{number}", name="n", request=TASK.request, rate=1.0))
    assert [task.spec.id for task in await store.tasks(limit=2)] == ["t-2", "t-1"]
    assert len(await store.tasks(open_only=True)) == 3


async def test_a_master_is_told_of_all_open_tasks_however_many_there_are(store: Store) -> None:
    for number in range(1_001):
        await store.create_task(TaskSpec(id=f"t-{number}", name="n", request=TASK.request, rate=1.0))
    assert len(await store.tasks(open_only=True, limit=None)) == 1_001


# State and the fence


async def test_state_leaves_intent_alone_and_the_other_way_round(store: Store) -> None:
    await store.create_task(TASK)
    await store.save_state(FIRST, "t-1", status=Status.RUNNING, plan=plan(), seen_intent=1)
    await store.set_rate("t-1", 99.0)
    record = await store.task("t-1")
    assert (record.spec.rate, record.intent) == (99.0, 2)
    assert (record.status, record.plan, record.seen_intent, record.epoch) == (Status.RUNNING, plan(), 1, 1)


@pytest.mark.parametrize(
    "stale",
    [
        pytest.param(FIRST, id="lower-epoch"),
        pytest.param(Mastership(epoch=2, node="c", incarnation="b1"), id="other-node"),
        pytest.param(Mastership(epoch=2, node="b", incarnation="b2"), id="restarted-node"),
    ],
)
async def test_a_fenced_master_changes_nothing(store: Store, stale: Mastership) -> None:
    await store.create_task(TASK)
    await store.take_over(FIRST)
    await store.take_over(SECOND)
    await store.take_over(SECOND)
    before = await picture(store)
    for attempt in (
        lambda: store.take_over(stale),
        lambda: store.save_state(stale, "t-1", status=Status.RUNNING, plan=plan(), seen_intent=1),
        lambda: store.commit_frames(stale, [frame(1)], "5-0"),
        lambda: store.save_failover(stale, 2, {"x": 1}),
    ):
        with pytest.raises(Fenced) as caught:
            await attempt()
        assert (caught.value.mine, caught.value.newest) == (stale.epoch, 2)
    assert await picture(store) == before
    assert (await store.commit_frames(SECOND, [frame(1)], "5-0")).accepted == 1


async def test_the_first_write_of_a_higher_epoch_moves_the_fence(store: Store) -> None:
    assert await store.fence() == NOBODY
    await store.commit_frames(FIRST, [], "")
    assert await store.fence() == FIRST
    await store.save_failover(SECOND, 2, {"winner": "b", "votes": [1, 2]})
    assert await store.fence() == SECOND
    assert await store.failovers() == {2: {"winner": "b", "votes": [1, 2]}}


async def test_of_two_masters_that_write_at_once_the_lower_one_loses_no_matter_who_is_first(url: str) -> None:
    async with open_store(url) as one, open_store(url) as two:
        refused = []

        async def write(store: Store, record: Mastership, holder: Holder) -> None:
            for sequence in range(1, 11):
                try:
                    await store.commit_frames(record, [frame(sequence, holder)], f"{record.epoch}-{sequence}")
                except Fenced:
                    refused.append(record.epoch)
                    return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, one, FIRST, A)
            nursery.start_soon(write, two, SECOND, B)
        assert 2 not in refused
        assert await one.position() == "2-10"
        stored = {row.holder: row.counters.intended for row in await one.rows("t-1")}
        assert stored[B] == 30


# Frames


async def test_a_frame_is_committed_once_however_often_it_comes(store: Store) -> None:
    first = await store.commit_frames(FIRST, [frame(1), frame(2), frame(1)], "7-1")
    again = await store.commit_frames(SECOND, [frame(2), frame(1)], "7-2")
    assert (first.accepted, first.duplicates, first.marks) == (2, 1, {A: 2})
    assert (again.accepted, again.duplicates, again.marks) == (0, 2, {A: 2})
    (row,) = await store.rows("t-1")
    assert (row.holder, row.revision, row.counters.intended) == (A, 1, 6)
    assert (row.counters.failed, row.counters.statuses) == ({"reset": 2}, {"200": 2})
    assert await store.position() == "7-2"


async def test_the_mark_waits_for_a_gap_and_passes_it_when_it_fills(store: Store) -> None:
    assert (await store.commit_frames(FIRST, [frame(1), frame(4), frame(2, B)], "")).marks == {A: 1, B: 0}
    assert (await store.commit_frames(FIRST, [frame(3)], "")).marks == {A: 1}
    assert (await store.commit_frames(SECOND, [frame(2), frame(1, B)], "")).marks == {A: 4, B: 2}


async def test_histograms_merge_exactly_over_commits_and_tasks_stay_apart(store: Store) -> None:
    await store.commit_frames(FIRST, [frame(1), frame(2, B), frame(9, task="t-2")], "")
    await store.commit_frames(FIRST, [frame(3), frame(1)], "")
    response, service = (HdrHistogram.decode(blob) for blob in await store.latencies("t-1"))
    for merged, offset in ((response, 0), (service, 1000)):
        assert merged.get_total_count() == 3
        assert [merged.get_count_at_value(value + offset) for value in (1, 2, 3, 9)] == [1, 1, 1, 0]
    assert await store.latencies("t-3") == (b"", b"")


async def test_a_frame_that_cannot_be_stored_does_not_hold_up_the_others(store: Store) -> None:
    huge = replace(frame(1), counters=Counters(intended=1 << 70))
    odd = replace(frame(2), task="t\0")
    torn = replace(frame(3), response_us=b"torn")
    result = await store.commit_frames(FIRST, [huge, odd, torn, frame(4)], "3-3")
    assert (result.accepted, result.duplicates, result.refused, result.unreadable) == (2, 0, 2, 1)
    assert await store.position() == "3-3"
    (row,) = await store.rows("t-1")
    assert row.counters.intended == 6


async def test_a_refused_frame_leaves_no_gap_in_the_mark(store: Store) -> None:
    """Else the worker would keep all later frames, and send them again, for ever."""
    huge = replace(frame(2), counters=Counters(intended=1 << 70))
    nameless = [replace(frame(3), incarnation="\0"), replace(frame(1), sequence=1 << 70)]
    assert (await store.commit_frames(FIRST, [frame(3), frame(1)], "")).marks == {A: 1}
    result = await store.commit_frames(FIRST, [huge, *nameless], "")
    assert (result.accepted, result.refused, result.marks) == (0, 3, {A: 3})
    assert (await store.commit_frames(SECOND, [huge, frame(4)], "")).marks == {A: 4}


async def test_the_books_are_computed_from_the_rows(store: Store) -> None:
    await store.create_task(TASK)
    await store.commit_frames(FIRST, [frame(1), frame(2), frame(1, B)], "1-0")
    await store.save_state(FIRST, "t-1", status=Status.STOPPING, plan=plan(limit=12, lost=(B,)), seen_intent=1)
    record, rows = await store.task("t-1"), await store.rows("t-1")
    totals = books(record.plan, rows)
    assert totals.balanced
    assert (totals.planned, totals.intended, totals.started, totals.dropped, totals.uncovered) == (12, 12, 6, 3, 3)
    assert record.plan is not None and settled(record.plan, rows)
    late = await store.commit_frames(SECOND, [frame(2, B)], "2-0")
    assert late.accepted == 1
    corrected = books(record.plan, await store.rows("t-1"))
    assert corrected.balanced and (corrected.intended, corrected.uncovered) == (12, 0)


# Figures by name


def named(sequence: int, names: dict[str, int], holder: Holder = A) -> Frame:
    """Of each name so many were started; one was reset, the others took as many microseconds as the frame's number."""
    requests = {
        name: RequestFigures(
            started=count,
            completed=count - 1,
            wrong=1,
            failed={"reset": 1},
            statuses={"200": count - 1},
            service_us=histogram(sequence),
        )
        for name, count in names.items()
    }
    return replace(frame(sequence, holder), requests=requests)


async def test_figures_by_name_are_committed_with_their_frame_and_once(store: Store) -> None:
    assert await store.requests("t-1") == {}
    await store.commit_frames(FIRST, [named(1, {"b": 3, "a": 2}), named(1, {"a": 4}, B)], "")
    await store.commit_frames(
        SECOND, [named(1, {"a": 4}, B), named(2, {"a": 5}), named(1, {"b": 3, "a": 2}), frame(3)], ""
    )
    found = await store.requests("t-1")
    assert list(found) == ["b", "a"], "in the order in which they came"
    assert (found["a"].started, found["a"].completed, found["a"].wrong) == (11, 8, 3)
    assert (found["a"].failed, found["a"].statuses) == ({"reset": 3}, {"200": 8})
    assert (found["b"].started, found["b"].failed_total) == (3, 1)
    service = HdrHistogram.decode(found["a"].service_us)
    assert [service.get_count_at_value(value) for value in (1, 2, 3)] == [2, 1, 0]


async def test_a_fenced_master_adds_nothing_to_a_name(store: Store) -> None:
    await store.commit_frames(SECOND, [named(1, {"a": 2})], "")
    with pytest.raises(Fenced):
        await store.commit_frames(FIRST, [named(2, {"a": 2})], "")
    assert (await store.requests("t-1"))["a"].started == 2


async def test_beyond_the_names_of_a_task_all_is_counted_under_one_more(store: Store) -> None:
    first = {f"n{number}": 2 for number in range(REQUEST_NAMES_MAX - 1)}
    await store.commit_frames(FIRST, [named(1, first)], "")
    await store.commit_frames(FIRST, [named(2, {f"m{number}": 2 for number in range(5)})], "")
    await store.commit_frames(FIRST, [named(3, {"n0": 2, "m0": 2, "m9": 2})], "")
    found = await store.requests("t-1")
    assert len(found) == REQUEST_NAMES_MAX + 1
    assert (found["n0"].started, found["m0"].started, found[FURTHER].started) == (4, 4, 10)
    assert HdrHistogram.decode(found[FURTHER].service_us).get_total_count() == 5


async def test_a_frame_with_ten_thousand_names_is_counted_and_its_further_histograms_are_left_out(store: Store) -> None:
    names = {f"{number}{'n' * 300}": 2 for number in range(10_000)}
    done = await store.commit_frames(FIRST, [named(1, names)], "")
    assert (done.accepted, done.refused) == (1, 0)
    found = await store.requests("t-1")
    assert len(found) <= REQUEST_NAMES_MAX + 1
    assert max(map(len, found)) <= REQUEST_NAME_CHARACTERS_MAX
    assert sum(one.started for one in found.values()) == 20_000
    assert done.unreadable == 10_000 - REQUEST_NAMES_MAX - 1


@pytest.mark.parametrize(
    "odd",
    [{"a\0": RequestFigures()}, {"a": RequestFigures(started=-1)}, {"a": RequestFigures(failed={"reset": 1 << 60})}],
)
async def test_figures_that_cannot_be_stored_are_refused_with_their_frame(
    store: Store, odd: dict[str, RequestFigures]
) -> None:
    done = await store.commit_frames(FIRST, [replace(frame(1), requests=odd), named(2, {"a": 2})], "")
    assert (done.accepted, done.refused, done.marks) == (1, 1, {A: 2})


async def test_the_timeline_sums_holders_by_second_and_can_be_read_on(store: Store) -> None:
    sent = [frame(1, second=100), frame(1, B, second=100), frame(2, second=102), frame(3, second=101, task="t-2")]
    await store.commit_frames(FIRST, sent, "")
    second = {"second": 100, "intended": 6, "started": 4, "completed": 2, "failed": 2, "dropped": 2}
    timeline = await store.timeline("t-1")
    assert timeline[0] == second
    assert [row["second"] for row in timeline] == [100, 102]
    assert await store.timeline("t-1", after_second=100) == timeline[1:]


ALL = [
    replace(frame(s, h, revision=1 + s // 3, second=100 + s), requests=named(s, {"a": 2, f"n{s}": s}).requests)
    for h in (A, B)
    for s in range(1, 6)
]


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(ALL * 2), size=st.integers(1, 7))
async def test_any_order_and_repetition_gives_the_same_books(order: Sequence[Frame], size: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with open_store(f"sqlite:///{directory}/x.db") as store:
            accepted = 0
            for start in range(0, len(order), size):
                accepted += (await store.commit_frames(FIRST, order[start : start + size], "")).accepted
            last = await store.commit_frames(FIRST, ALL, "")
            assert (accepted, last.accepted, last.marks) == (len(ALL), 0, {A: 5, B: 5})
            sums = {(row.holder, row.revision): row.counters.intended for row in await store.rows("t-1")}
            assert sums == {(h, r): n for h in (A, B) for r, n in ((1, 6), (2, 9))}
            found = await store.requests("t-1")
            assert {name: one.started for name, one in found.items()} == {"a": 20} | {
                f"n{s}": 2 * s for s in range(1, 6)
            }
            assert HdrHistogram.decode(found["a"].service_us).get_total_count() == len(ALL)
            response, _ = await store.latencies("t-1")
            assert HdrHistogram.decode(response).get_total_count() == len(ALL)


async def test_a_random_crowd_of_writers_keeps_every_frame_once(url: str) -> None:
    dice = random.Random(3)
    frames = [frame(s, h) for h in (A, B) for s in range(1, 21)]
    async with open_store(url) as one, open_store(url) as two:
        counts = []

        async def send(store: Store, share: list[Frame]) -> None:
            for batch in (share[i : i + 5] for i in range(0, len(share), 5)):
                done = await store.commit_frames(FIRST, batch, "")
                counts.append(done.accepted)

        async with trio.open_nursery() as nursery:
            for store in (one, two, one, two):
                nursery.start_soon(send, store, dice.sample(frames, len(frames)))
        assert sum(counts) == len(frames)
        assert sum(row.counters.intended for row in await one.rows("t-1")) == 3 * len(frames)
        assert (await two.commit_frames(FIRST, [frames[0], frames[-1]], "")).marks == {A: 20, B: 20}
