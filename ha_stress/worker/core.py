"""Which assignment a worker carries out, and when it stops because nobody governs it. Pure.

An assignment is the full desired state, ordered by (epoch, revision). A worker refuses

    one that is addressed to another incarnation   a restarted process does not inherit what its predecessor owned,
                                                   and one that slept and finds its successor has nothing left to do
    one of an epoch below any that it has seen     its master has been superseded, whoever sends it
    one that is not above what it applied          an old message that came late, or the same one again

A worker that has had no sign of an acting master for `orphan_after_s` is an *orphan*: nobody could stop its load, or tell it
that the load was given to somebody else. What counts is what reaches the worker from the one place that masters write to: a
lease that is held in Redis, an assignment, its own mastership. That a sentinel lives says nothing of a master.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ha_stress.tasks.schedule import Holder, NodeAssignment, TaskShare


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Carry exactly this out, then call `WorkerCore.applied_now` and report it."""

    assignment: NodeAssignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Go on as before; `reason` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """Run nothing any more, until there is an assignment for this process: another one has its place."""

    to: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """There is nothing new."""


Decision = Apply | Refuse | Yield | Keep


class WorkerCore:
    """`applied` is the (epoch, revision) that is carried out, (0, 0) at first."""

    def __init__(self, me: Holder) -> None:
        self._me = me
        self._highest_epoch = 0
        self.applied = (0, 0)

    def consider(self, assignment: NodeAssignment | None, known_epoch: int) -> Decision:
        """The record was read. `known_epoch` is the epoch of the newest mastership record that the node knows.

        A missing record changes nothing: a Redis that lost its data does not stop the load.
        """
        self._highest_epoch = max(self._highest_epoch, known_epoch)
        if assignment is None:
            return Keep()
        addressee = Holder(assignment.node, assignment.incarnation)
        if addressee != self._me:
            if (assignment.epoch, assignment.revision) > self.applied > (0, 0):
                return Yield(to=addressee)
            return Refuse(reason=f"it is addressed to {addressee.node}:{addressee.incarnation}")
        if assignment.epoch < self._highest_epoch:
            return Refuse(reason=f"its epoch {assignment.epoch} is over: epoch {self._highest_epoch} has begun")
        self._highest_epoch = assignment.epoch
        offered = (assignment.epoch, assignment.revision)
        if offered == self.applied:
            return Keep()
        if offered < self.applied:
            return Refuse(reason=f"revision {assignment.revision} came after {self.applied[1]} was applied")
        return Apply(assignment=assignment)

    def applied_now(self, assignment: NodeAssignment) -> None:
        offered = (assignment.epoch, assignment.revision)
        assert offered > self.applied
        self.applied = offered


class Governed:
    """Level-triggered: `orphaned` follows from when a master was last heard of. `orphan_after_s` 0: never an orphan."""

    def __init__(self, orphan_after_s: float, now: float) -> None:
        self._orphan_after_s = orphan_after_s
        self._heard_at = now

    def heard(self, now: float) -> None:
        """There was a sign of an acting master."""
        self._heard_at = now

    def silence_s(self, now: float) -> float:
        return now - self._heard_at

    def orphaned(self, now: float) -> bool:
        return 0 < self._orphan_after_s <= self.silence_s(now)


def muted(shares: Iterable[TaskShare]) -> list[TaskShare]:
    """The shares of an orphan: no request is ever under way, so each arrival that comes due is dropped, and counted. Users
    of the closed model have no arrivals to be counted: they are left out, and pause."""
    return [replace(share, in_flight_max=0) for share in shares if not any(part.users for part in share.parts)]
