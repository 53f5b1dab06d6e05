"""What the master writes under its epoch. Each function is one transaction's body and begins by moving the fence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, and_, or_, select, update

from ha_stress.base.errors import Conflict, Fenced, NotFound
from ha_stress.cluster.mastership import Mastership
from ha_stress.store.schema import failovers, fence, task_states, tasks
from ha_stress.store.shapes import plan_to_json
from ha_stress.store.upsert import upsert
from ha_stress.tasks.schedule import Plan
from ha_stress.tasks.spec import Status

_ORDER: Final = tuple(Status)


def read_fence(connection: Connection) -> Mastership:
    """The newest mastership that has written here; NOBODY at first."""
    row = connection.execute(select(fence)).one()
    return Mastership(epoch=row.epoch, node=row.node, incarnation=row.incarnation, why=row.why)


def move_fence(connection: Connection, record: Mastership, what: str) -> None:
    """Let `record` through and lock everybody else out until the transaction ends; Fenced if it is not the newest."""
    assert record.epoch > 0, "nobody cannot write"
    same = and_(fence.c.epoch == record.epoch, fence.c.node == record.node, fence.c.incarnation == record.incarnation)
    moved = connection.execute(
        update(fence)
        .where(or_(fence.c.epoch < record.epoch, same))
        .values(epoch=record.epoch, node=record.node, incarnation=record.incarnation, why=record.why)
    )
    if moved.rowcount == 0:
        raise Fenced(record.epoch, read_fence(connection).epoch, what)


def save_state(
    connection: Connection,
    record: Mastership,
    task_id: str,
    *,
    status: Status,
    plan: Plan | None,
    seen_intent: int,
    ended_at: float | None,
    outcome: Mapping[str, Any] | None = None,
) -> None:
    """Replace the task's state. A status moves only forward: Conflict otherwise, for example after ENDED. The outcome
    that is stored stays where none is given."""
    move_fence(connection, record, f"state of task {task_id}")
    # Intent is locked first, so that a change of intent is either seen as before the end or refused as after it.
    if connection.execute(select(tasks.c.id).where(tasks.c.id == task_id).with_for_update()).first() is None:
        raise NotFound(f"there is no task {task_id}")
    columns = select(task_states.c.status, task_states.c.outcome)
    before = connection.execute(columns.where(task_states.c.task == task_id)).first()
    if before is not None and _ORDER.index(status) < _ORDER.index(Status(before.status)):
        raise Conflict(f"task {task_id} is {before.status} and cannot become {status} again")
    stands = before.outcome if before is not None else None
    row = {
        "task": task_id,
        "status": status.value,
        "plan": plan_to_json(plan),
        "seen_intent": seen_intent,
        "ended_at": ended_at,
        "outcome": stands if outcome is None else dict(outcome),
        "epoch": record.epoch,
    }
    upsert(connection, task_states, [row])


def save_failover(connection: Connection, record: Mastership, epoch: int, data: dict[str, Any]) -> None:
    """Keep the history of the failover that began `epoch`; again replaces it."""
    move_fence(connection, record, f"failover record {epoch}")
    upsert(connection, failovers, [{"epoch": epoch, "data": data, "written_epoch": record.epoch}])
