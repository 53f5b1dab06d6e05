"""What must change now, given the records. Pure, level-triggered: the same records give the same answer, and records
that already are as they should be give none.

    pending                          -> plan it over the eligible nodes; first its scenario is set up, if that wants to be
    the wanted rate is another one   -> a revision with that rate, proportions kept
    a stop is wanted                 -> the schedule ends
    a threshold that aborts is broken -> the schedule ends, and its outcome says why
    a holder's process is gone       -> it is lost, and its slots move to the others
    a lost process is back           -> it is not lost after all
    a holder leaves or drains        -> its slots move
    the master holds a share while another can -> it hands the share over; alone it works
    a node can work and has no share -> it gets one, with the fewest moves
    the schedule is over, and every arrival of those who live is accounted for -> torn down, if its scenario wants that;
                                        then ended, the books are closed

Every decision is a state to persist *first*; what is then sent follows from what was persisted (`assignments`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ha_stress import strategies
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.drivers.stress import plan as plans
from ha_stress.master.members import holder_of
from ha_stress.tasks.ledger import Books, Row, books, settled
from ha_stress.tasks.profile import is_flat
from ha_stress.tasks.profile_text import describe
from ha_stress.tasks.protocols import EXCHANGE_START_S, is_plain_http
from ha_stress.tasks.scenario import defines
from ha_stress.tasks.schedule import Holder, Plan, TaskShare
from ha_stress.tasks.spec import Status, TaskSpec, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task's intent and state, as the master knows them. `outcome` is what was found of it so far, as JSON values."""

    spec: TaskSpec
    wanted: Wanted
    intent: int
    status: Status
    seen_intent: int
    plan: Plan | None
    outcome: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An event to emit once the decision is persisted."""

    name: str
    cause: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavePlan:
    """Persist this state, then send what follows from it."""

    task: Task
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTask:
    """Persist that the task has ended; `books` are its totals."""

    task: Task
    books: Books
    notes: tuple[Note, ...] = ()


Decision = SavePlan | EndTask


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the master looks at. `members` includes the master itself (`me`).

    `rows` are the committed sums by task; `drained` says that they contain everything that was in the result stream.
    `lead_s` is how far ahead a change is planned, so that every holder has heard of it before it counts.
    `doubtful` are holders that may live although nothing was heard of them yet: nothing is taken from them.
    `found` is what has to be kept in the outcomes of tasks; `aborted` in an outcome ends the task's schedule. `setup` and
    `teardown` say what came of these functions of the task's scenario: {"data": JSON text} or {"problem": one sentence}.
    """

    members: tuple[NodeInfo, ...]
    me: Holder
    rows: Mapping[str, Sequence[Row]]
    now_wall: float
    lead_s: float
    drained: bool = True
    doubtful: frozenset[Holder] = frozenset()
    found: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def living(self, plan: Plan) -> set[Holder]:
        """The members, and those doubtful ones that no master has found to be lost yet."""
        return {holder_of(m) for m in self.members} | (self.doubtful - set(plan.lost))

    @property
    def at_wall(self) -> float:
        return self.now_wall + self.lead_s

    def eligible(self) -> tuple[NodeInfo, ...]:
        return eligible(self.members, self.me)


def eligible(members: Iterable[NodeInfo], me: Holder) -> tuple[NodeInfo, ...]:
    """Who may hold shares: workers that are well and stay; the master only when there is none of them."""
    able = [m for m in members if m.healthy and not m.draining and not m.leaving and m.role is not Role.LEAVING]
    workers = tuple(m for m in able if m.id != me.node and m.role is Role.WORKER)
    return workers or tuple(m for m in able if holder_of(m) == me)


def reconcile(tasks: Iterable[Task], world: World) -> list[Decision]:
    """Every decision that is due now, at most one a task."""
    decisions = (_decide(task, world) for task in tasks if task.status is not Status.ENDED)
    return [decision for decision in decisions if decision is not None]


def absent(tasks: Iterable[Task], world: World) -> frozenset[Holder]:
    """Holders that are lost and that no other process of their name has replaced: they may only be suspended."""
    nodes = {m.id for m in world.members}
    latest: dict[str, tuple[float, Holder]] = {}
    for task in tasks:
        if task.plan is None or task.status is Status.ENDED:
            continue
        for revision in task.plan.revisions:
            began = task.plan.started_at + revision.at_s
            for holder in set(revision.holders) & set(task.plan.lost):
                if holder.node not in nodes:
                    latest[holder.node] = max((began, holder), latest.get(holder.node, (began, holder)))
    return frozenset(holder for _, holder in latest.values())


def assignments(tasks: Collection[Task], world: World) -> dict[Holder, tuple[TaskShare, ...]]:
    """The full desired state of every member and of the absent, from what is persisted."""
    holders = {holder_of(m) for m in world.members} | absent(tasks, world)
    desired: dict[Holder, tuple[TaskShare, ...]] = dict.fromkeys(sorted(holders), ())
    for task in tasks:
        if task.plan is not None and task.status is not Status.ENDED:
            rows = world.rows.get(task.spec.id, ())
            for holder, share in plans.shares_of(task.plan, _set_up(task), holders, rows, world.now_wall).items():
                desired[holder] = (*desired[holder], share)
    return desired


def _decide(task: Task, world: World) -> Decision | None:
    if task.plan is None:
        return _begin(task, world)
    plan = _mark_lost(task.plan, world)
    outcome = _outcome(task, world)
    stop = task.wanted is Wanted.STOP or "aborted" in outcome
    if stop:
        plan = plans.end(plan, world.at_wall)
    plan = plans.change_rate(plan, task.spec.rate, world.at_wall, task.spec.profile)
    plan = _share_out(plan, task.spec, world)
    over = plans.ended_by(plan, world.now_wall)
    status = Status.STOPPING if over or stop else Status.RUNNING
    after = replace(task, plan=plan, status=status, seen_intent=task.intent, outcome=outcome)
    notes = (*_abort_notes(task, outcome), *_revision_notes(task.plan, plan))
    if _finished(plan, task, world) and errand(after, world) is None:
        return _end(after, world, "every arrival is accounted for", notes)
    return SavePlan(task=after, notes=notes) if after != task else None


def _begin(task: Task, world: World) -> Decision | None:
    before, task = task, replace(task, outcome=_outcome(task, world))
    if errand(task, world) is not None:
        return None
    if task.wanted is Wanted.STOP:
        return _end(replace(task, seen_intent=task.intent), world, "it was stopped before it began", ())
    if problem := task.outcome.get("setup", {}).get("problem"):
        return _end(replace(task, seen_intent=task.intent), world, f"its setup failed: {problem}", ())
    able = world.eligible()
    if not able:
        return SavePlan(task=task) if task != before else None
    chosen = [(holder_of(m), weight) for m, weight in strategies.weights(able, task.spec.nodes_max)]
    lead_s = world.lead_s if is_plain_http(task.spec) else max(world.lead_s, EXCHANGE_START_S)
    plan = plans.begin(task.spec, chosen, world.now_wall, lead_s)
    after = replace(task, plan=plan, status=Status.RUNNING, seen_intent=task.intent)
    nodes = [holder.node for holder, _ in chosen]
    accepted = Note(name="+task", cause=f"planned over {', '.join(nodes)}", detail={"nodes": nodes})
    return SavePlan(task=after, notes=(accepted, *_revision_notes(None, plan)))


def errand(task: Task, world: World) -> str | None:
    """Which function of its scenario has to run once in the cluster before the task can go on: `setup`, `teardown`, none.

    Only what was set up is torn down.
    """
    scenario, outcome = task.spec.scenario, _outcome(task, world)
    done = outcome.get("setup", None if defines(scenario, "setup") else {})
    if task.plan is None and task.wanted is Wanted.RUN:
        return "setup" if done is None else None
    if done is None or "problem" in done or "teardown" in outcome or not defines(scenario, "teardown"):
        return None
    begun = task.plan is not None or bool(done)
    return "teardown" if begun and (task.plan is None or _finished(task.plan, task, world)) else None


def _finished(plan: Plan, task: Task, world: World) -> bool:
    """Whether the schedule is over and all of it accounted for."""
    rows = world.rows.get(task.spec.id, ())
    return plans.ended_by(plan, world.now_wall) and world.drained and settled(plan, rows)


def _outcome(task: Task, world: World) -> Mapping[str, Any]:
    return {**task.outcome, **world.found.get(task.spec.id, {})}


def _set_up(task: Task) -> TaskSpec:
    """The spec as the holders need it: with what the setup of its scenario has returned."""
    scenario, data = task.spec.scenario, task.outcome.get("setup", {}).get("data")
    if scenario is None or data is None:
        return task.spec
    return replace(task.spec, scenario=replace(scenario, data=data))


def _mark_lost(plan: Plan, world: World) -> Plan:
    """A process that is gone cannot account for its arrivals any more; one that is back can."""
    living = world.living(plan)
    lost = tuple(sorted(holder for holder in plan.holders() if holder not in living))
    return plan if lost == tuple(sorted(plan.lost)) else replace(plan, lost=lost)


def _share_out(plan: Plan, spec: TaskSpec, world: World) -> Plan:
    """Move slots if those who hold them are not those who should."""
    if plans.ended_by(plan, world.at_wall):
        return plan
    members, able = {holder_of(m) for m in world.members}, world.eligible()
    can = {holder_of(m) for m in able} | (world.living(plan) - members)
    holders = plan.newest.holders
    stay = [holder for holder in holders if holder in can]
    leavers = [holder for holder in holders if holder not in can]
    left = _left(leavers, members, world.me)
    joiners = _joiners(able, stay, spec, world.me)
    if joiners:
        # Equal weights: a share changes because somebody came or went, not because a cpu figure moved.
        weights = [(holder, 1.0) for holder in (*stay, *joiners)]
        why = "; ".join(part for part in (left, f"{_names(joiners)} joined") if part)
        return plans.rebalance(plan, weights, world.at_wall, why)
    return plans.move(plan, leavers, stay, world.at_wall, left) if leavers else plan


def _joiners(able: Sequence[NodeInfo], stay: Sequence[Holder], spec: TaskSpec, me: Holder) -> list[Holder]:
    """Who can have a share and has none, best first, as far as the task has room. The master only if nobody stays."""
    if not able:
        return []
    room = None if spec.nodes_max is None else max(0, spec.nodes_max - len(stay))
    ranked, staying = [holder_of(m) for m, _ in strategies.weights(able)], frozenset(stay)
    return [holder for holder in ranked if holder not in staying and not (stay and holder == me)][:room]


def _end(task: Task, world: World, cause: str, notes: tuple[Note, ...]) -> EndTask:
    totals = books(task.plan, world.rows.get(task.spec.id, ()))
    detail = {
        "planned": totals.planned,
        "intended": totals.intended,
        "started": totals.started,
        "completed": totals.completed,
        "failed": totals.failed,
        "dropped": totals.dropped,
        "uncovered": totals.uncovered,
        "balanced": totals.balanced,
    }
    ended = Note(name="+task-end", cause=cause, detail=detail)
    return EndTask(task=replace(task, status=Status.ENDED), books=totals, notes=(*notes, ended))


def _revision_notes(before: Plan | None, after: Plan) -> tuple[Note, ...]:
    known = 0 if before is None else before.newest.number
    return tuple(
        Note(
            name="+revision",
            cause=revision.why,
            detail={
                "revision": revision.number,
                "at_s": round(revision.at_s, 6),
                "rate": round(revision.rate_at(revision.at_s), 6),
                "nodes": [holder.node for holder in revision.holders],
                **({} if is_flat(revision.profile) else {"profile": describe(revision.profile, revision.rate)}),
                **({"users": revision.users} if revision.users else {}),
            },
        )
        for revision in after.revisions
        if revision.number > known
    )


def _abort_notes(task: Task, outcome: Mapping[str, Any]) -> tuple[Note, ...]:
    if "aborted" in task.outcome or "aborted" not in outcome:
        return ()
    cause = outcome["aborted"]
    return (Note(name="+aborted", cause=f"threshold {cause['threshold']!r} is broken", detail=dict(cause)),)


def _left(leavers: Sequence[Holder], members: Collection[Holder], me: Holder) -> str:
    gone = [holder for holder in leavers if holder not in members]
    going = [holder for holder in leavers if holder in members and holder != me]
    parts = []
    if gone:
        parts.append(f"{_names(gone)} gone")
    if going:
        parts.append(f"{_names(going)} cannot hold a share any more")
    if me in leavers and me in members:
        parts.append("the master hands its share over")
    return "; ".join(parts)


def _names(holders: Sequence[Holder]) -> str:
    return ", ".join(holder.node for holder in holders)
