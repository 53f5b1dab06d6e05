"""What the tasks that have not ended ask for."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, exists, select

from ha_stress.store.schema import task_states, tasks
from ha_stress.store.shapes import spec_from_json
from ha_stress.tasks.spec import Status, TaskSpec


def not_ended() -> ColumnElement[bool]:
    """Of a row of `tasks`."""
    return ~exists().where(task_states.c.task == tasks.c.id, task_states.c.status == Status.ENDED.value)


def open_specs(connection: Connection, *wanted: ColumnElement[bool]) -> list[TaskSpec]:
    """With the rate that is wanted now; `wanted` are further conditions."""
    rows = connection.execute(select(tasks.c.spec, tasks.c.rate).where(not_ended(), *wanted))
    return [spec_from_json({**row.spec, "rate": row.rate}) for row in rows]
