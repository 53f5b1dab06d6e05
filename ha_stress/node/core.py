"""The node's core: who is master, may I act, may I race for the first lock. `step(event, now) -> effects`. Pure.

    STARTING --registered--> WORKER --record names me, lease held--> MASTER --higher epoch--> WORKER
                                                                       |
                                              lease lapsed: suspended (still MASTER, does not act)
                                              lease held again under the same epoch: acts again

Rules:
  - the record with the higher epoch is the truth, wherever it came from; whoever sees a lower one in Redis mends it;
  - a lease counts from the moment at which its renewal was *sent*, and a margin before its end nobody acts any more;
  - the first lock may be raced for only while no record exists anywhere: neither in Redis nor in the file of any sentinel,
    so a majority of the configured sentinels must have said so to this very process;
  - in a cluster without sentinels nobody elects: there a master whose lease has run out is followed by whoever is first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from ha_stress.base.config import NodeConfig
from ha_stress.base.limits import SENTINELS_MAX
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import Role
from ha_stress.wire.messages import Ping

# --- events ---


@dataclass(frozen=True, slots=True)
class Registered:
    """This node is in the registry and may work."""


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """A record arrived; `from_bus`: it is what Redis has now, so a lower one is a loss to mend."""

    record: Mastership
    from_bus: bool = False


@dataclass(frozen=True, slots=True)
class SentinelPinged:
    ping: Ping


@dataclass(frozen=True, slots=True)
class LeaseAnswered:
    """The answer to `HoldLease` that was sent at `sent_at`; `newest` None: Redis did not answer."""

    sent_at: float
    held: bool
    newest: Mastership | None


@dataclass(frozen=True, slots=True)
class ClaimAnswered:
    """The record that stands after the race; None: Redis did not answer."""

    newest: Mastership | None


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The operator wants this node to leave in good order."""


@dataclass(frozen=True, slots=True)
class Ticked:
    pass


Happening = Registered | RecordSeen | SentinelPinged | LeaseAnswered | ClaimAnswered | StopAsked | Ticked

# --- effects ---


@dataclass(frozen=True, slots=True)
class HoldLease:
    """Take or renew the lease for this record; then feed LeaseAnswered."""

    record: Mastership


@dataclass(frozen=True, slots=True)
class ClaimFirst:
    """Race for the first lock; then feed ClaimAnswered."""


@dataclass(frozen=True, slots=True)
class Succeed:
    """Follow this record under the next epoch if nobody holds its lease any more; then feed ClaimAnswered."""

    record: Mastership


@dataclass(frozen=True, slots=True)
class Repair:
    record: Mastership


@dataclass(frozen=True, slots=True)
class BecomeMaster:
    record: Mastership


@dataclass(frozen=True, slots=True)
class BecomeWorker:
    pass


@dataclass(frozen=True, slots=True)
class Emit:
    name: str
    cause: str = ""
    subject: str = ""


Effect = HoldLease | ClaimFirst | Succeed | Repair | BecomeMaster | BecomeWorker | Emit

#: A lost race or an unanswered claim is tried again after this long, and a random part more.
CLAIM_RETRY_S = 0.25


class NodeCore:
    """See the module. `random` gives floats in [0, 1)."""

    def __init__(self, config: NodeConfig, incarnation: str, *, random: Callable[[], float], now: float) -> None:
        self.config = config
        self.timing = config.timing
        self.me = (config.id, incarnation)
        self.role = Role.STARTING
        self.record = NOBODY
        self.acting_until = float("-inf")
        self.suspended = False
        self.leaving = False
        #: What each sentinel said about the past: its highest epoch (0: it knows of none).
        self.heard_epochs: dict[str, int] = {}
        self._sentinels = config.sentinels
        self._bus_record: Mastership | None = None  # what Redis had when it was last read
        self._random = random
        self._renew_due = float("inf")
        self._lease_pending = False
        self._claim_due = now
        self._claim_pending = False
        self._out: list[Effect] = []

    def step(self, event: Happening, now: float) -> list[Effect]:
        """Take one event; return what must be done, in order."""
        self._out = []
        match event:
            case Registered():
                if self.role is Role.STARTING:
                    self.role = Role.WORKER
            case RecordSeen(record, from_bus):
                self._see(record, now, from_bus=from_bus)
            case SentinelPinged(ping):
                if ping.sender in self.heard_epochs or len(self.heard_epochs) < SENTINELS_MAX:
                    self.heard_epochs[ping.sender] = max(ping.voted_epoch, ping.record.epoch)
                self._sentinels = max(self._sentinels, min(ping.sentinels, SENTINELS_MAX))  # some may have been added
                self._see(ping.record, now)
            case LeaseAnswered(sent_at, held, newest):
                self._lease_answered(sent_at, held, newest, now)
            case ClaimAnswered(newest):
                self._claim_answered(newest, now)
            case StopAsked():
                self._stop_asked()
            case Ticked():
                pass
            case _:
                assert_never(event)
        self._reassess(now)
        return self._out

    def may_act(self, now: float) -> bool:
        """Whether this node may act as master at this instant."""
        return self.role is Role.MASTER and self.record.held_by(*self.me) and now < self.acting_until

    def deadline(self, now: float) -> float:
        """When `Ticked` is due at the latest."""
        moments = []
        if self._wants_lease():
            moments.append(self._renew_due)
        if self.role is Role.MASTER and not self.suspended:
            moments.append(self.acting_until)
        if self._may_claim() or self._may_succeed():
            moments.append(self._claim_due)
        return min(moments, default=float("inf"))

    # --- the record ---

    def _named(self) -> bool:
        return self.record.held_by(*self.me)

    def _see(self, record: Mastership, now: float, *, from_bus: bool = False) -> None:
        if from_bus:
            self._bus_record = record
        if record.epoch < self.record.epoch:
            if from_bus:
                self._out.append(Repair(self.record))
            return
        if record.epoch == self.record.epoch:
            return
        self.record = record
        self.acting_until = float("-inf")
        self._renew_due = now if self._named() else float("inf")
        if self.role is Role.MASTER:  # even if named again: a new epoch is a new mastership, begun from the records
            self._become_worker()

    def _become_worker(self) -> None:
        self.role = Role.LEAVING if self.leaving else Role.WORKER
        self.suspended = False
        self._out.append(Emit("+superseded", subject=self.record.node, cause=f"epoch {self.record.epoch}"))
        self._out.append(BecomeWorker())

    # --- the lease ---

    def _wants_lease(self) -> bool:
        """A node that leaves takes no lease, even if it is named."""
        return self._named() and self.role in (Role.WORKER, Role.MASTER) and not self._lease_pending

    def _lease_answered(self, sent_at: float, held: bool, newest: Mastership | None, now: float) -> None:
        self._lease_pending = False
        self._renew_due = max(now, sent_at + self.timing.lease_renew_s)
        if newest is None:  # Redis is away: the lease runs on until its end, the load runs on in any case
            self._renew_due = now + min(self.timing.lease_renew_s, 0.1)
            return
        if held and newest == self.record and self._named():
            self._lease_held(sent_at)
            return
        self._see(newest, now, from_bus=True)
        if newest.epoch < self.record.epoch:  # Redis lost the record; it is being mended
            self._renew_due = now + CLAIM_RETRY_S / 10

    def _lease_held(self, sent_at: float) -> None:
        self.acting_until = sent_at + self.timing.lease_ttl_s - self.timing.lease_margin_s
        if self.role is Role.WORKER:
            self.role = Role.MASTER
            self._out.append(BecomeMaster(self.record))
            if self.record.epoch == 1:
                self._out.append(Emit("+first-master", subject=self.me[0]))
        elif self.suspended:
            self.suspended = False
            self._out.append(Emit("-suspended", subject=self.me[0]))

    # --- the first lock ---

    def _may_claim(self) -> bool:
        """No record exists anywhere that could be known: not here, not in Redis, not with a majority of the sentinels."""
        if self.role is not Role.WORKER or self.leaving or self.record.epoch or self._claim_pending:
            return False
        if self._bus_record is None or self._bus_record.epoch or self.config.priority == 0:
            return False
        if any(self.heard_epochs.values()):
            return False
        return len(self.heard_epochs) >= self._sentinel_majority()

    def _may_succeed(self) -> bool:
        """The record stands in Redis, names another process, and there is no sentinel to judge whether that one lives."""
        if self.config.sentinels or self.config.priority == 0 or self._claim_pending:
            return False
        if self.role is not Role.WORKER or self.leaving or self._named():
            return False
        return self.record.epoch > 0 and self._bus_record == self.record

    def _sentinel_majority(self) -> int:
        return self._sentinels // 2 + 1 if self.config.sentinels else 0

    def _claim_answered(self, newest: Mastership | None, now: float) -> None:
        self._claim_pending = False
        pause_s = self.timing.lease_renew_s if self.record.epoch else CLAIM_RETRY_S
        self._claim_due = now + pause_s * (1 + self._random())
        if newest is not None:
            self._see(newest, now, from_bus=True)

    # --- leaving ---

    def _stop_asked(self) -> None:
        self.leaving = True
        self._out.append(Emit("+leaving", subject=self.me[0], cause="asked to stop"))
        if self.role is not Role.MASTER:
            self.role = Role.LEAVING

    # --- what time alone changes ---

    def _reassess(self, now: float) -> None:
        if self.role is Role.MASTER and not self.suspended and now >= self.acting_until:
            self.suspended = True
            self._out.append(Emit("+suspended", subject=self.me[0], cause="the lease could not be renewed in time"))
        if self._wants_lease() and now >= self._renew_due:
            self._lease_pending = True
            self._out.append(HoldLease(self.record))
        if self._may_claim() and now >= self._claim_due:
            self._claim_pending = True
            self._out.append(ClaimFirst())
        elif self._may_succeed() and now >= self._claim_due:
            self._claim_pending = True
            self._out.append(Succeed(self.record))
