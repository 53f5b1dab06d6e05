"""The plan of a task: how its schedule is cut into revisions, and what each holder is told. Pure.

Every change closes the newest revision with a limit and opens another one. The cut keeps the phase: the new revision
begins when the next arrival is due, so however often shares move, 500/s for 20 s stay 10,000 arrivals:

    rate 4/s      |   |   |   |   |   |   |   |         revision 1: 3 arrivals (limit 3)
    cut               . . ^ asked for here              revision 2 begins at the next tick, not at the cut
                              |   |   |   |   |

On a change of rate the rest of the way to the next arrival is walked at the new rate. Under a profile, a move of shares
changes neither the profile nor where it began: `base` says how many of its arrivals are spoken for. A rate that is set while
a profile runs takes its place. In the closed model the users are cut off and begin anew, with whom the table says.

Nothing is ever planned beyond the end of the task; a change after it changes nothing. Each function returns the same object
if there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ha_stress.base.limits import DURATION_S_MAX, PART_KEPT_S, POISSON_SEED_MAX
from ha_stress.drivers.stress import table
from ha_stress.tasks.arrivals import arrivals_of
from ha_stress.tasks.ledger import Counters, Row
from ha_stress.tasks.profile import Profile, is_flat
from ha_stress.tasks.schedule import Holder, Part, Plan, Revision, TaskShare, due_before, due_s, owned_below
from ha_stress.tasks.spec import TaskSpec

#: Makes one seed into another one (Knuth's multiplier).
_SEED_FACTOR: Final = 6_364_136_223_846_793_005


def begin(spec: TaskSpec, weights: Sequence[tuple[Holder, float]], now_wall: float, lead_s: float) -> Plan:
    """The first plan: revision 1 begins in `lead_s`, so that every holder has it before it counts."""
    owners = table.first(weights, spec.users or None)
    holders, slots = _indexed(owners, [holder for holder, _ in weights])
    revision = Revision(
        number=1,
        at_s=0.0,
        rate=0.0 if spec.users else spec.rate,
        holders=holders,
        table=slots,
        why="the task began",
        profile=None if spec.users else spec.profile,
        users=spec.users,
    )
    if revision.profile is not None:
        revision = _beginning(revision, 0.0)
    if spec.duration_s is not None:
        revision = _closed(revision, spec.duration_s)
    return Plan(started_at=now_wall + lead_s, duration_s=spec.duration_s, revisions=(revision,))


def change_rate(plan: Plan, rate: float, at_wall: float, profile: Profile | None = None) -> Plan:
    """From `at_wall` on at `rate`; who owns what stays, so the shares stay in their proportions.

    `profile` is the task's: while it has a shape, that is what runs, until another rate is set. Users of the closed model
    have no rate.
    """
    last = plan.newest
    if last.users or (rate == last.rate and (is_flat(last.profile) or not is_flat(profile))):
        return plan
    why = f"rate {last.rate:g} to {rate:g} per second" if is_flat(last.profile) else f"rate set to {rate:g} per second"
    return _revise(plan, at_wall, owners_of(last), why, rate)


def move(plan: Plan, leavers: Collection[Holder], heirs: Sequence[Holder], at_wall: float, why: str) -> Plan:
    """Hand the slots of `leavers` to `heirs`. With no heir the plan stays: nobody can cover them yet."""
    last = plan.newest
    if not heirs or not set(leavers) & set(last.holders):
        return plan
    return _revise(plan, at_wall, table.hand_over(owners_of(last), leavers, heirs), why)


def rebalance(plan: Plan, weights: Sequence[tuple[Holder, float]], at_wall: float, why: str) -> Plan:
    """Give exactly the holders of `weights` their proportions, with the fewest moves."""
    last = plan.newest
    owners = table.level(owners_of(last), weights, grow=not last.users)
    if owners == owners_of(last):
        return plan
    return _revise(plan, at_wall, owners, why)


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
    for revision, over_s in zip(plan.revisions, _over_by_s(plan), strict=True):
        past = now_wall > plan.started_at + over_s + PART_KEPT_S
        for holder, slots in revision.slots_by_holder().items():
            if holder not in holders:
                continue
            part = _part(revision, slots)
            if not (past and _accounted(part, done.get((revision.number, holder)))):
                parts.setdefault(holder, []).append(part)
    return {
        holder: TaskShare(
            task=spec.id,
            request=spec.request,
            in_flight_max=max(spec.in_flight_max, spec.users),  # in the closed model the users are the bound
            started_at=plan.started_at,
            parts=tuple(mine),
            mix=spec.mix,
            scenario=spec.scenario,
            think_time_s=spec.think_time_s,
            warm_up_s=spec.warm_up_s,
            checks=spec.checks,
        )
        for holder, mine in parts.items()
    }


def ended_by(plan: Plan, now_wall: float) -> bool:
    """Whether the schedule is over at `now_wall`."""
    return _over(plan, now_wall - plan.started_at)


def owners_of(revision: Revision) -> table.Owners:
    return tuple(revision.holders[index] for index in revision.table)


def _part(revision: Revision, slots: tuple[int, ...]) -> Part:
    return Part(
        revision=revision.number,
        at_s=revision.at_s,
        rate=revision.rate,
        modulus=len(revision.table),
        slots=slots,
        limit=revision.limit,
        profile=revision.profile,
        origin_s=revision.origin_s,
        base=revision.base,
        users=revision.users,
        until_s=revision.until_s,
    )


def _accounted(part: Part, done: Counters | None) -> bool:
    """Whether the books say that all of a part has happened, answers included."""
    if part.limit is None:
        return False
    if part.users:
        return done is not None and done.closed >= len(part.slots) and done.under_way <= 0
    want = owned_below(part.slots, part.modulus, part.limit)
    return want == 0 if done is None else done.intended >= want and done.under_way <= 0


def _revise(plan: Plan, at_wall: float, owners: table.Owners, why: str, rate: float | None = None) -> Plan:
    """Close the newest revision and open another one; `rate` None goes on as it was."""
    last = plan.newest
    cut_s = _not_before_planned(plan, at_wall - plan.started_at)
    if _over(plan, cut_s):
        return plan
    closed = _closed(last, cut_s)
    opened = _going_on(closed, cut_s) if rate is None else _at_rate(closed, cut_s, rate)
    holders, slots = _indexed(owners, last.holders)
    opened = replace(opened, number=last.number + 1, holders=holders, table=slots, why=why, limit=None, until_s=None)
    if plan.duration_s is not None:
        opened = _closed(opened, plan.duration_s)
    return replace(plan, revisions=(*plan.revisions[:-1], closed, opened))


def _going_on(closed: Revision, cut_s: float) -> Revision:
    """What follows a revision that was closed at `cut_s` while its rate stays what it is."""
    if closed.users:
        return replace(closed, at_s=cut_s)
    if closed.profile is None:
        return _at_rate(closed, cut_s, closed.rate)
    return _beginning(replace(closed, base=_base_after(closed)), cut_s)


def _at_rate(closed: Revision, cut_s: float, rate: float) -> Revision:
    """The same with a constant rate from now on."""
    base, before = _base_after(closed), closed.profile
    if before is not None and before.poisson_seed is not None:
        # Arrivals without memory: what is left of the way to the next one is as long as a whole one. The dice are new, as
        # it has become known of the old ones that they had a cut in between.
        fresh = Profile(poisson_seed=(before.poisson_seed * _SEED_FACTOR + closed.number) % (POISSON_SEED_MAX + 1))
        passed_s = arrivals_of(fresh, rate).due_s(base - 1) if base and rate > 0 else 0.0
        return _beginning(replace(closed, rate=rate, profile=fresh, origin_s=cut_s - passed_s, base=base), cut_s)
    # What is left of the way to the next arrival, as a part of one arrival (more only if the revision had not begun).
    left = max(0.0, due_before(closed, cut_s) - _expected(closed, cut_s))
    at_s = cut_s + min(left / rate, DURATION_S_MAX) if rate > 0 else cut_s
    return replace(closed, at_s=at_s, rate=rate, profile=None, origin_s=0.0, base=base)


def _beginning(revision: Revision, cut_s: float) -> Revision:
    """Under a profile a revision begins when its first arrival is due; at the cut if it has none."""
    first_s = due_s(revision, 0)
    return replace(revision, at_s=max(cut_s, first_s) if first_s <= cut_s + DURATION_S_MAX else cut_s)


def _expected(revision: Revision, at_s: float) -> float:
    """How many positions are expected until then, a real number; negative if it begins later."""
    if revision.profile is None:
        return (at_s - revision.at_s) * revision.rate
    return arrivals_of(revision.profile, revision.rate).expected(at_s - revision.origin_s) - revision.base


def _base_after(closed: Revision) -> int:
    return closed.base + (closed.limit or 0)


def _closed(revision: Revision, at_s: float) -> Revision:
    """Without what would be at `at_s` or later."""
    if revision.users:
        return replace(revision, limit=0, until_s=at_s if revision.until_s is None else min(at_s, revision.until_s))
    limit = due_before(revision, at_s)
    return replace(revision, limit=limit if revision.limit is None else min(limit, revision.limit))


def _not_before_planned(plan: Plan, at_s: float) -> float:
    """`at_s`, but not before the last arrival of a closed revision (the clocks of two masters differ)."""
    closed = (revision for revision in reversed(plan.revisions[:-1]) if revision.users or revision.limit)
    newest = next(closed, None)  # what came before it was closed before it began
    return max(0.0, at_s, 0.0 if newest is None else _ends_s(newest))


def _over_by_s(plan: Plan) -> list[float]:
    """When each revision is over: at the latest when the next one begins."""
    last = plan.newest
    return [*(after.at_s for after in plan.revisions[1:]), max(last.at_s, _ends_s(last))]


def _ends_s(revision: Revision) -> float:
    """When the last arrival of a closed revision is due; where it begins, if it is open."""
    if revision.users:
        return revision.at_s if revision.until_s is None else revision.until_s
    if not revision.limit:
        return 0.0 if revision.limit == 0 else revision.at_s
    return due_s(revision, revision.limit - 1)


def _over(plan: Plan, at_s: float) -> bool:
    return plan.duration_s is not None and at_s >= plan.duration_s


def _indexed(owners: table.Owners, order: Iterable[Holder]) -> tuple[tuple[Holder, ...], tuple[int, ...]]:
    """Holders that own a slot, those of `order` first, and the table of indexes into them."""
    present = set(owners)
    holders = list(dict.fromkeys(holder for holder in (*order, *owners) if holder in present))
    index = {holder: number for number, holder in enumerate(holders)}
    return tuple(holders), tuple(index[owner] for owner in owners)
