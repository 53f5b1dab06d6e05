"""What of a plan its holders have heard of. Pure.

A master persists a change of a plan, then tells the holders. If it dies in between, its successor reads a cut that nobody
keeps: the holders go on beyond it. Such a change is taken back and decided anew; carried out late, it would give arrivals
to others that were sent already.

    persisted    rev 4 ----| rev 5 (a, b) ------------         told    rev 4 (a) --------------------->  a goes on
    taken back   rev 4 ------------------------------- ^ now: rev 5 is planned again, from here
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ha_stress.tasks.schedule import NodeAssignment, Part, Plan, Revision, due_before
from ha_stress.tasks.spec import TaskSpec


def knows_newest(plan: Plan, task: str, assignment: NodeAssignment) -> bool:
    """Whether this holder was told of the newest revision, as it stands in the plan."""
    newest = plan.newest
    return any((part.revision, _end(part)) == (newest.number, _end(newest)) for part in _parts(task, assignment))


def as_told(plan: Plan, spec: TaskSpec, assignments: Iterable[NodeAssignment]) -> Plan:
    """The plan without the changes of which none of these (all that there are) speaks; the same object if there are none.

    A change that somebody has been told of stays: whoever was told keeps it.
    """
    ends: dict[int, list[float | None]] = {}
    for assignment in assignments:
        for part in _parts(spec.id, assignment):
            ends.setdefault(part.revision, []).append(_end(part))
    last = next((revision for revision in reversed(plan.revisions) if revision.number in ends), None)
    if last is None or max(ends) > last.number or _end(last) in ends[last.number]:
        return plan
    told = ends[last.number]
    end = None if None in told else max(one for one in told if one is not None)
    kept = [revision for revision in plan.revisions if revision.number < last.number]
    # Only a stop moves the end of a task; if the holders' end is not that of this task, they know nothing of the stop.
    ends_so = plan.duration_s is not None and end == _end_at(last, plan.duration_s)
    duration_s = plan.duration_s if ends_so else spec.duration_s
    return replace(plan, duration_s=duration_s, revisions=(*kept, _ending(last, end)))


def _end(part: Revision | Part) -> float | None:
    """Where a part ends, None if it is open: a position, or in the closed model a time."""
    return part.until_s if part.users else part.limit


def _end_at(revision: Revision, duration_s: float) -> float:
    return duration_s if revision.users else due_before(revision, duration_s)


def _ending(revision: Revision, end: float | None) -> Revision:
    if revision.users:
        return replace(revision, limit=None if end is None else 0, until_s=end)
    return replace(revision, limit=None if end is None else int(end))


def _parts(task: str, assignment: NodeAssignment) -> list[Part]:
    return [part for share in assignment.shares if share.task == task for part in share.parts]
