"""Which tasks have not ended, and what they ask for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, select

from ha_stress.store.schema import task_states, tasks
from ha_stress.store.shapes import spec_from_json
from ha_stress.tasks.spec import Status, TaskSpec


def not_ended() -> ColumnElement[bool]:
    """Of a row of `tasks`."""
    ended = exists().where(task_states.c.task == tasks.c.id, task_states.c.status == Status.ENDED.value)
    return ~ended.correlate(tasks)


def wanted_spec(row: Any) -> TaskSpec:
    """Of a row of `tasks`, with the rate that is wanted now."""
    return spec_from_json({**row.spec, "rate": row.rate})


def open_specs(connection: Connection, *wanted: ColumnElement[bool]) -> list[TaskSpec]:
    """`wanted` are further conditions."""
    return [
        wanted_spec(row) for row in connection.execute(select(tasks.c.spec, tasks.c.rate).where(not_ended(), *wanted))
    ]
