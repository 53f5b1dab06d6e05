"""The task store: async methods over one SQL database, each one transaction in a worker thread.

    intent   create_task set_rate stop_task stop_all put_blob        written by the API of any node
    state    take_over save_state commit_frames save_failover        written by the master, under its epoch
    reading  task tasks rows latencies requests timeline series position failovers fence blob

Errors: StoreUnavailable (try again), NotFound, Conflict, ConfigError (a value out of range), and for state Fenced:
nothing was changed, a newer master writes here. After StoreUnavailable a write may or may not have happened; every
write may be repeated. On SQLite a crash of processes loses nothing, a power loss may lose the last commits
(synchronous=NORMAL).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import outcome as outcomes
import trio
from sqlalchemy import Connection

from ha_stress.base.limits import STORE_THREADS_MAX
from ha_stress.cluster.mastership import Mastership
from ha_stress.store import blobs, by_name, evidence, intake, intent, reading, series, state
from ha_stress.store.engine import CALL_TIMEOUT_S, Database
from ha_stress.store.faults import mapped
from ha_stress.store.migrate import MIGRATION_TIMEOUT_S, migrate
from ha_stress.store.records import Committed, TaskRecord
from ha_stress.store.series import Piece, Place, Span
from ha_stress.tasks.caps import NO_CAPS, RateCaps
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.ledger import Frame, Row
from ha_stress.tasks.schedule import Plan
from ha_stress.tasks.spec import Status, TaskSpec
from ha_stress.tasks.verdict import EngineUse

__all__ = ["Committed", "Store", "TaskRecord", "open_store"]

T = TypeVar("T")


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Open the database and bring it to the newest schema. Any number of processes may do so at once.

    ConfigError if the URL cannot be used or the database is newer than this program, StoreUnavailable if it does not
    answer.
    """
    database = Database(url)
    store = Store(database)
    try:
        await store.in_thread(partial(migrate, database), timeout_s=MIGRATION_TIMEOUT_S)
        await store.in_thread(database.remember_file)
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(database.dispose)


class Store:
    """Use `open_store`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A turn is waited for before a call's deadline starts, a thread is then free at once.
        self._turns = trio.CapacityLimiter(STORE_THREADS_MAX)
        self._threads = trio.CapacityLimiter(STORE_THREADS_MAX)

    # Intent

    async def create_task(self, spec: TaskSpec, caps: RateCaps = NO_CAPS) -> None:
        """Conflict if the id is taken by another task (the same one again is no error), or if a cap does not admit it."""
        await self._write(intent.create_task, spec, caps)

    async def set_rate(self, task_id: str, rate: float, caps: RateCaps = NO_CAPS) -> None:
        """Requests per second. Conflict if the task has ended or was asked to stop, or if a cap does not admit it."""
        await self._write(intent.set_rate, task_id, rate, caps)

    async def stop_task(self, task_id: str) -> None:
        """Conflict if the task has ended; asking twice is no error."""
        await self._write(intent.stop_task, task_id)

    async def stop_all(self) -> list[str]:
        """Stop every task that has not ended; the ids of them, those that stop already included."""
        return await self._write(intent.stop_all)

    async def put_blob(self, data: bytes) -> str:
        """Keep `data` for the tasks that will name it by the digest that is returned; the same again is no error. What no
        open task names is removed after ten minutes, or later. Conflict if there are too many."""
        return await self._write(blobs.put_blob, data)

    # State

    async def take_over(self, record: Mastership) -> None:
        """Move the fence: from now on every master before `record` is refused."""
        await self._write(state.move_fence, record, "taking over")

    async def save_state(
        self,
        record: Mastership,
        task_id: str,
        *,
        status: Status,
        plan: Plan | None,
        seen_intent: int,
        ended_at: float | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace a task's state. Conflict if the status would move backwards. `outcome` must be JSON; without one the
        stored one stays."""
        state_of_task = {"status": status, "plan": plan, "seen_intent": seen_intent, "ended_at": ended_at}
        await self._write(state.save_state, record, task_id, outcome=outcome, **state_of_task)

    async def commit_frames(self, record: Mastership, frames: Sequence[Frame], position: str) -> Committed:
        """Store each frame once and add it to the sums. `position` is the stream id read so far ("": leave it)."""
        return await self._write(intake.commit_frames, record, frames, position)

    async def save_failover(self, record: Mastership, epoch: int, data: dict[str, Any]) -> None:
        """Keep the record of the failover that began `epoch`; `data` must be JSON."""
        await self._write(state.save_failover, record, epoch, data)

    # Reading

    async def fence(self) -> Mastership:
        """The newest mastership that has written here; NOBODY at first."""
        return await self._read(state.read_fence)

    async def misplaced(self) -> str:
        """Why the database that is open is not the one that others find at its place (SQLite); "" if it is."""
        return await self.in_thread(self._database.misplaced)

    async def position(self) -> str:
        """The stream id up to which results are committed; "" at first."""
        return await self._read(reading.read_position)

    async def task(self, task_id: str) -> TaskRecord:
        """NotFound if there is none."""
        return await self._read(reading.read_task, task_id)

    async def tasks(self, *, open_only: bool = False, limit: int | None = 1000) -> list[TaskRecord]:
        """Newest first, all of them with a `limit` of None; `open_only` leaves out those that have ended."""
        return await self._read(reading.read_tasks, open_only=open_only, limit=limit)

    async def rows(self, task_id: str) -> list[Row]:
        """The ledger of a task; `tasks.ledger.books` makes the totals of it."""
        return await self._read(reading.read_rows, task_id)

    async def latencies(self, task_id: str) -> tuple[bytes, bytes]:
        """Merged HdrHistogram blobs (response, service) in microseconds; b"" where there are none."""
        return await self._read(reading.read_latencies, task_id)

    async def requests(self, task_id: str) -> dict[str, RequestFigures]:
        """What was counted of the requests of a mix or a scenario, by name, in the order in which the names came."""
        return await self._read(by_name.read_requests, task_id)

    async def timeline(self, task_id: str, *, after_second: int = -1) -> list[dict[str, int]]:
        """Sums per Unix second: second, intended, started, completed, failed, dropped. At most TIMELINE_SECONDS_MAX."""
        return await self._read(reading.read_timeline, task_id, after_second=after_second)

    async def series_span(self, task_id: str) -> Span | None:
        """The seconds of which the task has frames; None while there is none."""
        return await self._read(series.read_span, task_id)

    async def series(self, task_id: str, *, after: Place, until: Place | None = None, limit: int) -> list[Piece]:
        """The next `limit` frames of a task behind a place, and before another one, in the order of time; `series.Buckets`
        adds them up."""
        return await self._read(series.read_pieces, task_id, after=after, until=until, limit=limit)

    async def counted(self, task_id: str) -> list[Row]:
        """The ledger of a task without its warm-up; failures are under the one name `failed`."""
        return await self._read(evidence.read_counted, task_id)

    async def frame_count(self, task_id: str, *, first: int, last: int) -> int:
        """How many frames there are under these labels, without those of the warm-up."""
        return await self._read(evidence.read_frame_count, task_id, first, last)

    async def engine_use(self, task_id: str, *, first: int, last: int) -> EngineUse:
        """How busy the engines of a task were in these Unix seconds."""
        return await self._read(evidence.read_engine_use, task_id, first, last)

    async def blob(self, digest: str) -> bytes:
        """NotFound if it is not stored (any more)."""
        return await self._read(blobs.read_blob, digest)

    async def failovers(self) -> dict[int, dict[str, Any]]:
        """Failover records by epoch."""
        return await self._read(reading.read_failovers)

    # Threads

    async def _write(self, body: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        def transaction() -> T:
            with self._database.writer.begin() as connection:
                return body(connection, *args, **kwargs)

        return await self.in_thread(transaction)

    async def _read(self, body: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        def transaction() -> T:
            connection: Connection
            with self._database.engine.begin() as connection:
                return body(connection, *args, **kwargs)

        return await self.in_thread(transaction)

    async def in_thread(self, body: Callable[[], T], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """Run `body` in a thread. A cancelled caller waits for it, so that no write happens behind anybody's back.

        That wait is bounded: SQLite waits for nothing but locks, which its busy timeout bounds; from a server that does
        not answer within `timeout_s` all connections are cut.
        """

        def work() -> T:
            with mapped():
                return body()

        async with self._turns:
            if self._database.is_sqlite:
                return await trio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=False)
            watch = trio.CancelScope(shield=True)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cut_when_due, watch, timeout_s, name="store.deadline")
                try:
                    # As a value, because an exception that leaves a nursery comes out wrapped in a group.
                    answer = await trio.to_thread.run_sync(
                        outcomes.capture, work, limiter=self._threads, abandon_on_cancel=False
                    )
                finally:
                    watch.cancel()
        return answer.unwrap()

    async def _cut_when_due(self, watch: trio.CancelScope, timeout_s: float) -> None:
        with watch:
            await trio.sleep(timeout_s)
            self._database.cut()
