"""What the API writes: the operator's intent, and nothing else. Each function is one transaction's body."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Row, select, update

from ha_stress.base.errors import Conflict, NotFound
from ha_stress.store.schema import task_states, tasks
from ha_stress.store.shapes import spec_from_json, spec_to_json
from ha_stress.store.upsert import insert
from ha_stress.tasks.spec import Status, TaskSpec, Wanted, check_rate


def create_task(connection: Connection, spec: TaskSpec) -> None:
    """Conflict if the id is another task's. The same task again is no error: a caller may repeat what got no answer."""
    row = {
        "id": spec.id,
        "spec": spec_to_json(spec),
        "rate": spec.rate,
        "wanted": Wanted.RUN.value,
        "intent": 1,
        "created_at": time.time(),
    }
    added = connection.execute(insert(connection, tasks).values(row).on_conflict_do_nothing().returning(tasks.c.id))
    if added.first() is not None:
        return
    stored = connection.execute(select(tasks.c.spec).where(tasks.c.id == spec.id)).scalar_one()
    if spec_from_json(stored) != spec:
        raise Conflict(f"task {spec.id} exists already and asks for something else")


def set_rate(connection: Connection, task_id: str, rate: float) -> None:
    """Requests per second. The rate that is wanted already changes nothing."""
    check_rate(rate)
    row = _lock(connection, task_id)
    if row.wanted == Wanted.STOP:
        raise Conflict(f"task {task_id} was asked to stop: its rate cannot change")
    if row.rate != rate:
        _change(connection, task_id, rate=rate)


def stop_task(connection: Connection, task_id: str) -> None:
    """Asking again changes nothing."""
    if _lock(connection, task_id).wanted != Wanted.STOP:
        _change(connection, task_id, wanted=Wanted.STOP.value)


def _lock(connection: Connection, task_id: str) -> Row[Any]:
    """The intent row, held until the transaction ends; NotFound, or Conflict if the task has ended."""
    row = connection.execute(select(tasks).where(tasks.c.id == task_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"there is no task {task_id}")
    status = connection.execute(select(task_states.c.status).where(task_states.c.task == task_id)).scalar()
    if status == Status.ENDED:
        raise Conflict(f"task {task_id} has ended: create a new one")
    return row


def _change(connection: Connection, task_id: str, **values: object) -> None:
    connection.execute(update(tasks).where(tasks.c.id == task_id).values(intent=tasks.c.intent + 1, **values))
