"""Queries. Nothing here writes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, func, select
from sqlalchemy import Row as SqlRow

from ha_stress.base.errors import NotFound
from ha_stress.base.limits import TIMELINE_SECONDS_MAX
from ha_stress.store.open_tasks import not_ended, wanted_spec
from ha_stress.store.records import TaskRecord
from ha_stress.store.schema import failovers, frames, intake, latencies, ledger, task_states, tasks
from ha_stress.store.shapes import plan_from_json
from ha_stress.tasks.ledger import COUNTERS, MAPS, Counters, Row
from ha_stress.tasks.schedule import Holder
from ha_stress.tasks.spec import Status, Wanted


def _tasks_with_state() -> Select[Any]:
    state = task_states.c
    columns = (state.status, state.plan, state.seen_intent, state.ended_at, state.outcome, state.epoch)
    return select(tasks, *columns).select_from(tasks.outerjoin(task_states, task_states.c.task == tasks.c.id))


def read_task(connection: Connection, task_id: str) -> TaskRecord:
    row = connection.execute(_tasks_with_state().where(tasks.c.id == task_id)).first()
    if row is None:
        raise NotFound(f"there is no task {task_id}")
    return _record(row)


def read_tasks(connection: Connection, *, open_only: bool, limit: int | None) -> list[TaskRecord]:
    """Newest first. `open_only` leaves out those that have ended."""
    query = _tasks_with_state().order_by(tasks.c.created_at.desc(), tasks.c.id.desc()).limit(limit)
    if open_only:
        query = query.where(not_ended())
    return [_record(row) for row in connection.execute(query)]


def _record(row: SqlRow[Any]) -> TaskRecord:
    return TaskRecord(
        spec=wanted_spec(row),
        wanted=Wanted(row.wanted),
        intent=row.intent,
        created_at=row.created_at,
        status=Status(row.status) if row.status else Status.PENDING,
        seen_intent=row.seen_intent or 0,
        plan=plan_from_json(row.plan),
        epoch=row.epoch or 0,
        ended_at=row.ended_at,
        outcome=row.outcome or {},
    )


def counters_of(row: SqlRow[Any]) -> Counters:
    return Counters(**{name: getattr(row, name) for name in (*COUNTERS, *MAPS)})


def read_rows(connection: Connection, task_id: str) -> list[Row]:
    """The ledger of a task, by revision and holder; empty for an unknown task."""
    order = (ledger.c.revision, ledger.c.node, ledger.c.incarnation)
    return [
        Row(holder=Holder(row.node, row.incarnation), revision=row.revision, counters=counters_of(row))
        for row in connection.execute(select(ledger).where(ledger.c.task == task_id).order_by(*order))
    ]


def read_latencies(connection: Connection, task_id: str) -> tuple[bytes, bytes]:
    """(response, service) histograms in microseconds; b"" where there are none."""
    row = connection.execute(select(latencies).where(latencies.c.task == task_id)).first()
    return (bytes(row.response_us), bytes(row.service_us)) if row else (b"", b"")


def read_timeline(connection: Connection, task_id: str, *, after_second: int) -> list[dict[str, int]]:
    """Sums per Unix second over all holders, oldest first, bounded: read on with the last `second`."""
    summed = {"intended": "intended", "started": "started", "completed": "completed"}
    summed |= {"failed": "failed_total", "dropped": "dropped"}
    sums = [func.sum(frames.c[column]).label(name) for name, column in summed.items()]
    query = (
        select(frames.c.second, *sums)
        .where(frames.c.task == task_id, frames.c.second > after_second)
        .group_by(frames.c.second)
        .order_by(frames.c.second)
        .limit(TIMELINE_SECONDS_MAX)
    )
    return [{name: int(value) for name, value in row._mapping.items()} for row in connection.execute(query)]


def read_position(connection: Connection) -> str:
    return str(connection.execute(select(intake.c.position)).scalar_one())


def read_failovers(connection: Connection) -> dict[int, dict[str, Any]]:
    """All failover records by epoch, oldest first."""
    rows = connection.execute(select(failovers.c.epoch, failovers.c.data).order_by(failovers.c.epoch))
    return {row.epoch: dict(row.data) for row in rows}
