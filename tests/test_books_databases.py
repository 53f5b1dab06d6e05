"""PostgreSQL and SQLite give the same books, and a database that goes away loses nothing and stops nothing."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import trio
from hdrh.histogram import HdrHistogram

from bench.books_audit import Kill
from bench.books_cluster import running
from bench.books_figures import MASTER, REDIS, WORKER, report_of
from ha_stress.base.errors import Fenced, StoreUnavailable, UserError
from ha_stress.cluster.mastership import Mastership
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.ledger import Counters, Frame, Row, books
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec
from tests.postgresql import NoPostgreSQL, PostgreSQL, private_postgresql

Step = Callable[[Store], Awaitable[Any]]

HOLDERS = tuple(Holder(f"n{number}", f"i{life}") for number in range(3) for life in range(2))
TASKS = ("t-1", "t-2")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    pytest.importorskip("psycopg")
    try:
        with private_postgresql() as one:
            yield one
    except NoPostgreSQL as reason:
        pytest.skip(str(reason))


# --- the same history on both ---


def counters(dice: random.Random) -> Counters:
    started, dropped = dice.randrange(1, 50), dice.choice([0, 0, 7])
    failed = dice.randrange(0, started + 1) if dice.random() < 0.3 else 0
    return Counters(
        intended=started + dropped,
        started=started,
        completed=started - failed,
        dropped=dropped,
        wrong=dice.randrange(0, started - failed + 1),
        bytes_in=dice.randrange(1 << 40),
        cpu_us=dice.randrange(1 << 33),
        failed={"reset": failed} if failed else {},
        statuses={dice.choice(["200", "503"]): started - failed},
        checks={"status == 200": dice.randrange(3)},
    )


def histogram(dice: random.Random) -> bytes:
    recorded = HdrHistogram(1, 3_600_000_000, 3)
    recorded.record_value(dice.randrange(1, 10_000_000))
    blob: bytes = recorded.encode()
    return blob


def frames(dice: random.Random) -> list[Frame]:
    """Everything that the engines will ever say, by holder in order."""
    return [
        Frame(
            node=holder.node,
            incarnation=holder.incarnation,
            sequence=sequence,
            epoch=1,
            task=dice.choice(TASKS),
            revision=dice.randrange(1, 4),
            engine=0,
            second=1000 + sequence // 2,
            counters=counters(dice),
            response_us=histogram(dice),
            service_us=histogram(dice),
        )
        for holder in HOLDERS
        for sequence in range(1, 13)
    ]


def plan(dice: random.Random, limit: int | None) -> Plan:
    table = tuple(dice.randrange(len(HOLDERS)) for _ in range(12))
    revisions = tuple(
        Revision(number=number, at_s=number * 1.1, rate=1 / 3, holders=HOLDERS, table=table, limit=limit, why="ü")
        for number in (1, 2, 3)
    )
    return Plan(started_at=1000.123456789, duration_s=None, revisions=revisions, lost=tuple(dice.sample(HOLDERS, 2)))


def history(seed: int) -> list[Step]:
    """What two masters, an API and six workers do, in an order that the seed draws: late, twice, and under old epochs."""
    dice = random.Random(seed)
    every = frames(dice)
    masters = [Mastership(epoch=epoch, node=f"n{epoch % 3}", incarnation="i0", why="drawn") for epoch in (1, 2, 3)]
    steps: list[Step] = [create(name) for name in TASKS]
    for number in range(60):
        record = masters[max(0, min(2, number // 20 - (dice.random() < 0.15)))]
        match dice.randrange(8):
            case 0:
                steps.append(set_rate(dice.choice(TASKS), dice.random() * 100))
            case 1:
                steps.append(save(record, dice.choice(TASKS), plan(dice, dice.choice([None, 500, 900]))))
            case 2:
                steps.append(note_failover(record, number, {"at": number / 3, "why": "ü"}))
            case _:
                steps.append(commit(record, dice.choices(every, k=dice.randrange(1, 12)), f"{number}-0"))
    last = masters[-1]
    steps += [commit(last, every, "end-0"), save(last, TASKS[0], plan(dice, 900), Status.ENDED), stop(TASKS[0])]
    return steps


def create(name: str) -> Step:
    spec = TaskSpec(id=name, name=f"{name} ü", request=HttpRequest(url="http://127.0.0.1/", body=b"\0\xff"), rate=1 / 3)
    return lambda store: store.create_task(spec)


def set_rate(name: str, rate: float) -> Step:
    return lambda store: store.set_rate(name, rate)


def stop(name: str) -> Step:
    return lambda store: store.stop_task(name)


def save(record: Mastership, name: str, made: Plan, status: Status = Status.RUNNING) -> Step:
    return lambda store: store.save_state(record, name, status=status, plan=made, seen_intent=1)


def note_failover(record: Mastership, epoch: int, data: dict[str, Any]) -> Step:
    return lambda store: store.save_failover(record, epoch, data)


def commit(record: Mastership, batch: list[Frame], position: str) -> Step:
    return lambda store: store.commit_frames(record, batch, position)


async def outcome(step: Step, store: Store) -> object:
    """What it returned, or which refusal it met."""
    try:
        return await step(store)
    except (UserError, Fenced) as refusal:
        return type(refusal).__name__


async def everything(store: Store) -> dict[str, object]:
    """All that can be read, without the moments at which it was written."""
    records = {name: replace(await store.task(name), created_at=0.0) for name in TASKS}
    rows: dict[str, list[Row]] = {name: list(await store.rows(name)) for name in TASKS}
    return {
        "records": records,
        "rows": rows,
        "books": {name: asdict(books(records[name].plan, rows[name])) for name in TASKS},
        "latencies": [await store.latencies(name) for name in TASKS],
        "timelines": [await store.timeline(name) for name in TASKS],
        "fence": await store.fence(),
        "position": await store.position(),
        "failovers": await store.failovers(),
    }


@asynccontextmanager
async def both(server: PostgreSQL, folder: Path, name: str) -> AsyncIterator[tuple[Store, Store]]:
    server.create_database(name)
    async with open_store(f"sqlite:///{folder / 'store.db'}") as one, open_store(server.url(name)) as other:
        yield one, other


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_same_history_gives_the_same_answers_and_the_same_books_on_both(
    seed: int, server: PostgreSQL, tmp_path: Path
) -> None:
    async with both(server, tmp_path, f"same{seed}") as (sqlite, postgresql):
        for number, step in enumerate(history(seed)):
            assert await outcome(step, sqlite) == await outcome(step, postgresql), f"step {number}"
        assert await everything(sqlite) == await everything(postgresql)


async def test_such_a_history_has_all_kinds_of_answers_in_it(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        answers = [await outcome(step, store) for step in history(1)]
    kinds = {answer if isinstance(answer, str) else type(answer).__name__ for answer in answers}
    assert kinds == {"Committed", "NoneType", "Conflict", "Fenced"}


async def test_a_database_that_dies_between_and_during_writes_has_the_same_books_in_the_end(
    server: PostgreSQL, tmp_path: Path
) -> None:
    """Every write is repeated until it is known to have happened, as a master does it."""
    async with both(server, tmp_path, "dies") as (sqlite, postgresql):
        deaths = random.Random(4).sample(range(60), 3)
        for number, step in enumerate(history(4)):
            await outcome(step, sqlite)
            async with trio.open_nursery() as nursery:
                if number in deaths:
                    nursery.start_soon(trio.to_thread.run_sync, restart, server)
                while True:
                    try:
                        await outcome(step, postgresql)
                        break
                    except StoreUnavailable:
                        await trio.sleep(0.02)
        ours, theirs = await everything(sqlite), await everything(postgresql)
        assert ours == theirs


def restart(server: PostgreSQL) -> None:
    server.stop()
    server.start()


# --- a cluster whose database goes away ---


def wait_s(begin: float, seconds: float) -> None:
    time.sleep(max(0.0, begin + seconds - time.time()))


@pytest.mark.cluster
def test_without_its_database_the_load_goes_on_and_after_a_workers_death_the_rate_is_back(
    server: PostgreSQL, tmp_path: Path
) -> None:
    """PostgreSQL is away for 3 s and the master dies meanwhile. Then Redis dies and comes back, and the one worker that is
    left dies, so that the master works itself. The books are exact, arrival by arrival."""
    server.create_database("outage")
    with running(tmp_path, server.url("outage"), seed=1) as cluster:
        cluster.load(600.0, None)
        begin = cluster.started_at
        wait_s(begin, 0.5)
        cluster.kills.append(Kill(what="database", name="postgresql", at=time.time()))
        server.stop()
        try:
            wait_s(begin, 1.0)
            cluster.kill(MASTER)
            wait_s(begin, 3.5)
        finally:
            server.start()
        cluster.wait_whole(2)
        cluster.restart(REDIS, cluster.kill(REDIS))
        cluster.wait_whole(2)
        cluster.kill(WORKER)
        cluster.wait_whole(1)
        time.sleep(2.5)  # what the dead one had is made up for
        cluster.stop()
        cluster.wait_ended()
        report = report_of(cluster.evidence())
    missed = [goal["name"] for goal in report["goals"] if not goal["met"]]
    of_speed = ("requests per second in sum", "after detection", "last unsent frame")
    assert [name for name in missed if not any(part in name for part in of_speed)] == [], report["kills"]
    assert report["planned"] == report["intended"]
    assert (report["dropped"], report["duplicates"], report["frames_lost"]) == (0, 0, 0)
    *others, worker = report["kills"]
    assert [one["uncovered"] for one in others] == [0, 0, 0]
    assert worker["uncovered"] == report["uncovered"]
    # A busy machine may take its time, but not as long as a description takes to expire.
    assert worker["detection_s"] is not None and worker["gap_s"] is not None and worker["back_s"] is not None
    assert worker["gap_s"] < worker["detection_s"] + 2.5
    assert worker["back_s"] < worker["detection_s"] + 2.5
