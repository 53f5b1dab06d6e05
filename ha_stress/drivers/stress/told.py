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

from ha_stress.tasks.schedule import NodeAssignment, Part, Plan, Revision, positions_before
from ha_stress.tasks.spec import TaskSpec


def knows_newest(plan: Plan, task: str, assignment: NodeAssignment) -> bool:
    """Whether this holder was told of the newest revision, as it stands in the plan."""
    newest = plan.newest
    return any((part.revision, part.limit) == (newest.number, newest.limit) for part in _parts(task, assignment))


def as_told(plan: Plan, spec: TaskSpec, assignments: Iterable[NodeAssignment]) -> Plan:
    """The plan without the changes of which none of these (all that there are) speaks; the same object if there are none.

    A change that somebody has been told of stays: whoever was told keeps it.
    """
    limits: dict[int, list[int | None]] = {}
    for assignment in assignments:
        for part in _parts(spec.id, assignment):
            limits.setdefault(part.revision, []).append(part.limit)
    last = next((revision for revision in reversed(plan.revisions) if revision.number in limits), None)
    if last is None or max(limits) > last.number or last.limit in limits[last.number]:
        return plan
    told = limits[last.number]
    limit = None if None in told else max(one for one in told if one is not None)
    kept = [revision for revision in plan.revisions if revision.number < last.number]
    # Only a stop moves the end of a task; if the holders' limit is not that of this end, they know nothing of the stop.
    ends_so = plan.duration_s is not None and limit == _limit_of(last, plan.duration_s)
    duration_s = plan.duration_s if ends_so else spec.duration_s
    return replace(plan, duration_s=duration_s, revisions=(*kept, replace(last, limit=limit)))


def _limit_of(revision: Revision, duration_s: float) -> int:
    return positions_before(duration_s - revision.at_s, revision.rate)


def _parts(task: str, assignment: NodeAssignment) -> list[Part]:
    return [part for share in assignment.shares if share.task == task for part in share.parts]
