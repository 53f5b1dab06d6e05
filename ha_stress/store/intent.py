"""What the API writes: the operator's intent, and nothing else. Each function is one transaction's body."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, select, text, update

from ha_stress.base.errors import Conflict, NotFound
from ha_stress.store.open_tasks import not_ended, open_specs
from ha_stress.store.schema import task_states, tasks
from ha_stress.store.shapes import spec_from_json, spec_to_json
from ha_stress.store.upsert import insert
from ha_stress.tasks.admission import check_rate
from ha_stress.tasks.caps import NO_CAPS, RateCaps
from ha_stress.tasks.profile import flattened
from ha_stress.tasks.spec import Status, TaskSpec, Wanted

#: Of the lock under which rates are added up; SQLite's writers wait for each other anyway. Any number will do.
_RATES_LOCK: Final = 7_700_001


def create_task(connection: Connection, spec: TaskSpec, caps: RateCaps = NO_CAPS) -> None:
    """Conflict if the id is another task's, or if the rate would be above a cap. The same task again is no error: a
    caller may repeat what got no answer."""
    _lock_rates(connection, caps)
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
        _check_caps(connection, spec, caps)
        return
    row_there = connection.execute(select(tasks.c.spec, tasks.c.intent).where(tasks.c.id == spec.id)).one()
    stored = spec_from_json(row_there.spec)
    # A rate that was set since has taken the place of the profile.
    changed = row_there.intent > 1 and stored == replace(spec, profile=flattened(spec.profile))
    if stored != spec and not changed:
        raise Conflict(f"task {spec.id} exists already and asks for something else")


def set_rate(connection: Connection, task_id: str, rate: float, caps: RateCaps = NO_CAPS) -> None:
    """Requests per second, in place of a profile that the task may have: it is gone from the task, and only its plan still
    shows it. The rate that is wanted already changes nothing. Conflict for users of the closed model, who have none."""
    check_rate(rate)
    _lock_rates(connection, caps)
    row = _lock(connection, task_id)
    if row.wanted == Wanted.STOP:
        raise Conflict(f"task {task_id} was asked to stop: its rate cannot change")
    spec = spec_from_json(row.spec)
    if spec.users:
        raise Conflict(f"task {task_id} has users, who send as fast as they are answered: it has no rate")
    wanted = replace(spec, rate=rate, profile=flattened(spec.profile))
    if row.rate != rate or spec.profile != wanted.profile:
        _check_caps(connection, wanted, caps)
        _change(connection, task_id, rate=rate, spec=spec_to_json(replace(wanted, rate=spec.rate)))


def stop_task(connection: Connection, task_id: str) -> None:
    """Asking again changes nothing."""
    if _lock(connection, task_id).wanted != Wanted.STOP:
        _change(connection, task_id, wanted=Wanted.STOP.value)


def stop_all(connection: Connection) -> list[str]:
    """Stop every task that has not ended; the ids, oldest first, also of those that were asked before."""
    connection.execute(
        update(tasks)
        .where(not_ended(), tasks.c.wanted != Wanted.STOP.value)
        .values(intent=tasks.c.intent + 1, wanted=Wanted.STOP.value)
    )
    return list(connection.execute(select(tasks.c.id).where(not_ended()).order_by(tasks.c.created_at)).scalars())


def _lock_rates(connection: Connection, caps: RateCaps) -> None:
    """Two callers must not both find room for themselves."""
    if caps.cluster is not None and connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _RATES_LOCK})


def _check_caps(connection: Connection, spec: TaskSpec, caps: RateCaps) -> None:
    """A task that was asked to stop takes no room: its load has ended, or will within moments."""
    others = [] if caps.cluster is None else open_specs(connection, tasks.c.wanted == Wanted.RUN.value)
    caps.check(spec, [other for other in others if other.id != spec.id])


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
