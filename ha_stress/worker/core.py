"""Which assignment a worker carries out. Pure.

An assignment is the full desired state, ordered by (epoch, revision). A worker refuses

    one that is addressed to another incarnation   a restarted process does not inherit what its predecessor owned,
                                                   and one that slept and finds its successor has nothing left to do
    one of an epoch below any that it has seen     its master has been superseded, whoever sends it
    one that is not above what it applied          an old message that came late, or the same one again
"""

from __future__ import annotations

from dataclasses import dataclass

from ha_stress.tasks.schedule import Holder, NodeAssignment


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
