"""The plan of a task: how its schedule is cut into revisions, and what each holder is told. Pure.

Every change closes the newest revision with a limit and opens another one. The cut keeps the phase: the new revision
begins when the next arrival is due, so however often shares move, 500/s for 20 s stay 10,000 arrivals:

    rate 4/s      |   |   |   |   |   |   |   |         revision 1: 3 arrivals (limit 3)
    cut               . . ^ asked for here              revision 2 begins at the next tick, not at the cut
                              |   |   |   |   |

On a change of rate the rest of the way to the next arrival is walked at the new rate. Nothing is ever planned beyond
the end of the task; a change after it changes nothing. Each function returns the same object if there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ha_stress.base.limits import DURATION_S_MAX, PART_KEPT_S
from ha_stress.drivers.stress import table
from ha_stress.tasks.ledger import Counters, Row
from ha_stress.tasks.schedule import Holder, Part, Plan, Revision, TaskShare, owned_below, positions_before
from ha_stress.tasks.spec import TaskSpec


def begin(spec: TaskSpec, weights: Sequence[tuple[Holder, float]], now_wall: float, lead_s: float) -> Plan:
    """The first plan: revision 1 begins in `lead_s`, so that every holder has it before it counts."""
    holders, slots = _indexed(table.first(weights), [holder for holder, _ in weights])
    limit = None if spec.duration_s is None else positions_before(spec.duration_s, spec.rate)
    revision = Revision(
        number=1, at_s=0.0, rate=spec.rate, holders=holders, table=slots, limit=limit, why="the task began"
    )
    return Plan(started_at=now_wall + lead_s, duration_s=spec.duration_s, revisions=(revision,))


def change_rate(plan: Plan, rate: float, at_wall: float) -> Plan:
    """From `at_wall` on at `rate`; who owns what stays, so the shares stay in their proportions."""
    last = plan.newest
    if rate == last.rate:
        return plan
    return _revise(plan, at_wall, rate, owners_of(last), f"rate {last.rate:g} to {rate:g} per second")


def move(plan: Plan, leavers: Collection[Holder], heirs: Sequence[Holder], at_wall: float, why: str) -> Plan:
    """Hand the slots of `leavers` to `heirs`. With no heir the plan stays: nobody can cover them yet."""
    last = plan.newest
    if not heirs or not set(leavers) & set(last.holders):
        return plan
    return _revise(plan, at_wall, last.rate, table.hand_over(owners_of(last), leavers, heirs), why)


def rebalance(plan: Plan, weights: Sequence[tuple[Holder, float]], at_wall: float, why: str) -> Plan:
    """Give exactly the holders of `weights` their proportions, with the fewest moves."""
    last = plan.newest
    owners = table.level(owners_of(last), weights)
    if owners == owners_of(last):
        return plan
    return _revise(plan, at_wall, last.rate, owners, why)


def end(plan: Plan, at_wall: float) -> Plan:
    """No arrival at or after `at_wall`."""
    at_s = _not_before_planned(plan, at_wall - plan.started_at)
    if _over(plan, at_s):
        return plan
    return replace(plan, duration_s=at_s, revisions=(*plan.revisions[:-1], _closed(plan.newest, at_s)))


def shares_of(
    plan: Plan, spec: TaskSpec, holders: Collection[Holder], rows: Iterable[Row], now_wall: float
) -> dict[Holder, TaskShare]:
    """What each of `holders` has to know of the task; those are left out for whom nothing of it is left to do.

    A part is left out only once it is over for PART_KEPT_S and the committed `rows` account for all of it.
    """
    done = {(row.revision, row.holder): row.counters for row in rows}
    parts: dict[Holder, list[Part]] = {}
    for revision in plan.revisions:
        past = now_wall > plan.started_at + max(revision.at_s, _ends_s(revision)) + PART_KEPT_S
        for holder, slots in revision.slots_by_holder().items():
            part = Part(
                revision=revision.number,
                at_s=revision.at_s,
                rate=revision.rate,
                modulus=len(revision.table),
                slots=slots,
                limit=revision.limit,
            )
            if holder in holders and not (past and _accounted(part, done.get((revision.number, holder)))):
                parts.setdefault(holder, []).append(part)
    return {
        holder: TaskShare(
            task=spec.id,
            request=spec.request,
            in_flight_max=spec.in_flight_max,
            started_at=plan.started_at,
            parts=tuple(mine),
        )
        for holder, mine in parts.items()
    }


def ended_by(plan: Plan, now_wall: float) -> bool:
    """Whether the schedule is over at `now_wall`."""
    return _over(plan, now_wall - plan.started_at)


def owners_of(revision: Revision) -> table.Owners:
    return tuple(revision.holders[index] for index in revision.table)


def _accounted(part: Part, done: Counters | None) -> bool:
    """Whether the books say that all of a part has happened, answers included."""
    if part.limit is None:
        return False
    want = owned_below(part.slots, part.modulus, part.limit)
    return want == 0 if done is None else done.intended >= want and done.under_way <= 0


def _revise(plan: Plan, at_wall: float, rate: float, owners: table.Owners, why: str) -> Plan:
    last = plan.newest
    cut_s = _not_before_planned(plan, at_wall - plan.started_at)
    if _over(plan, cut_s):
        return plan
    closed = _closed(last, cut_s)
    # What is left of the way to the next arrival, as a part of one arrival (more only if `last` has not begun).
    left = max(0.0, positions_before(cut_s - last.at_s, last.rate) - (cut_s - last.at_s) * last.rate)
    at_s = cut_s + min(left / rate, DURATION_S_MAX) if rate > 0 else cut_s
    holders, slots = _indexed(owners, last.holders)
    limit = None if plan.duration_s is None else positions_before(plan.duration_s - at_s, rate)
    revision = Revision(
        number=last.number + 1, at_s=at_s, rate=rate, holders=holders, table=slots, limit=limit, why=why
    )
    return replace(plan, revisions=(*plan.revisions[:-1], closed, revision))


def _closed(revision: Revision, at_s: float) -> Revision:
    limit = positions_before(at_s - revision.at_s, revision.rate)
    return replace(revision, limit=limit if revision.limit is None else min(limit, revision.limit))


def _not_before_planned(plan: Plan, at_s: float) -> float:
    """`at_s`, but not before the last arrival of a closed revision (the clocks of two masters differ)."""
    return max(0.0, at_s, *(_ends_s(revision) for revision in plan.revisions[:-1]))


def _ends_s(revision: Revision) -> float:
    """When the last arrival of a closed revision is due; where it begins, if it has none."""
    if not revision.limit or revision.rate <= 0:
        return 0.0 if revision.limit == 0 else revision.at_s
    return revision.at_s + (revision.limit - 1) / revision.rate


def _over(plan: Plan, at_s: float) -> bool:
    return plan.duration_s is not None and at_s >= plan.duration_s


def _indexed(owners: table.Owners, order: Iterable[Holder]) -> tuple[tuple[Holder, ...], tuple[int, ...]]:
    """Holders that own a slot, those of `order` first, and the table of indexes into them."""
    present = set(owners)
    holders = list(dict.fromkeys(holder for holder in (*order, *owners) if holder in present))
    index = {holder: number for number, holder in enumerate(holders)}
    return tuple(holders), tuple(index[owner] for owner in owners)
