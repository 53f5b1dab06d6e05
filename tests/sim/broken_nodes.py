"""Nodes and workers with one planted defect each."""

from __future__ import annotations

from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import Role
from ha_stress.node.core import Effect, Happening, NodeCore, SentinelPinged
from ha_stress.tasks.schedule import NodeAssignment
from ha_stress.worker.core import Apply, Decision, Keep, Refuse, WorkerCore

# --- the lease ---


class Deadlineless(NodeCore):
    """Acts on after the end of its lease."""

    def may_act(self, now: float) -> bool:
        return self.role is Role.MASTER and self.record.held_by(*self.me)


class LateLease(NodeCore):
    """Counts the lease from the answer instead of from the question."""

    def _lease_answered(self, sent_at: float, held: bool, newest: Mastership | None, now: float) -> None:
        super()._lease_answered(now, held, newest, now)


# --- the record ---


class Forgiving(NodeCore):
    """Takes any record as the truth, whatever its epoch."""

    def _see(self, record: Mastership, now: float, *, from_bus: bool = False) -> None:
        if record.epoch and record.epoch < self.record.epoch:
            self.record = record
        super()._see(record, now, from_bus=from_bus)


class CarelessNode(NodeCore):
    """Leaves a Redis alone that knows less than it does itself."""

    def _see(self, record: Mastership, now: float, *, from_bus: bool = False) -> None:
        super()._see(record, now)


class Credulous(NodeCore):
    """Learns of a new master by the published message alone (see `Build.rereads`): what the sentinels' pings and the
    answers about the lease say of it is not looked at."""

    def step(self, event: Happening, now: float) -> list[Effect]:
        if isinstance(event, SentinelPinged):
            self.heard_epochs[event.ping.sender] = max(event.ping.voted_epoch, event.ping.record.epoch)
            self._out = []
            self._reassess(now)
            return self._out
        return super().step(event, now)

    def _lease_answered(self, sent_at: float, held: bool, newest: Mastership | None, now: float) -> None:
        super()._lease_answered(sent_at, held, self.record if newest is not None else None, now)


class Unasking(NodeCore):
    """Races for the first lock whenever Redis has no record, whatever the sentinels have in their files."""

    def _may_claim(self) -> bool:
        free = self.role is Role.WORKER and not (self.leaving or self.record.epoch or self._claim_pending)
        return free and self._bus_record is not None and not self._bus_record.epoch and self.config.priority > 0


# --- workers ---


class EpochBlind(WorkerCore):
    """Orders assignments by their revision alone."""

    def consider(self, assignment: NodeAssignment | None, known_epoch: int) -> Decision:
        if assignment is None or assignment.incarnation != self._me.incarnation:
            return Keep()
        if assignment.revision <= self.applied[1]:
            return Refuse(reason="an old revision")
        return Apply(assignment=assignment)

    def applied_now(self, assignment: NodeAssignment) -> None:
        self.applied = (assignment.epoch, assignment.revision)


class Uninformed(WorkerCore):
    """Compares with what it carries out, and not with the record that its node knows."""

    def consider(self, assignment: NodeAssignment | None, known_epoch: int) -> Decision:
        return super().consider(assignment, 0)
