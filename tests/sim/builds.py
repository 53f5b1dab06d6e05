"""What is simulated: the sound cores, or the same cores with one planted defect each.

A simulator that catches nothing proves nothing; `tests/test_sim.py` demands that each of these is caught.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import Role
from ha_stress.node.core import NodeCore
from ha_stress.wire.messages import VoteRequest
from sentinel.core import Sentinel
from sentinel.effects import SaveVote, SendPeer
from sentinel.failover import Campaign
from sentinel.votes import Standing, Voter


def _as_it_is(core: Sentinel) -> None:
    """The sound core needs no preparation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One variant. The switches name the defect; the sound build has none. `faults` are the kinds that provoke it; without
    any, the seed chooses."""

    node: type[NodeCore] = NodeCore
    prepare_sentinel: Callable[[Sentinel], None] = _as_it_is
    award_compares: bool = True
    store_open: bool = False
    forgets_votes: bool = False
    faults: tuple[str, ...] = ()


class _EagerVoter(Voter):
    """The reply leaves before the vote is on disk."""

    def answer_vote(self, request: VoteRequest, standing: Standing) -> list[SaveVote | SendPeer]:
        out = super().answer_vote(request, standing)
        if any(isinstance(effect, SaveVote) for effect in out):
            return [self._reply(request.sender, request.epoch, ""), *out]
        return out


class _TwoFacedVoter(Voter):
    """A second candidate of the same epoch gets a vote as well."""

    def answer_vote(self, request: VoteRequest, standing: Standing) -> list[SaveVote | SendPeer]:
        if request.epoch == self.state.voted_epoch:
            return [self._reply(request.sender, request.epoch, "")]
        return super().answer_vote(request, standing)


class _CarelessCount(Campaign):
    """Replies count whatever their epoch is."""

    __slots__ = ()

    def count(self, sender: str, epoch: int, granted: bool, reason: str) -> bool:
        return super().count(sender, self.epoch, granted, reason)


class _Deadlineless(NodeCore):
    """Acts on after the end of its lease."""

    def may_act(self, now: float) -> bool:
        return self.role is Role.MASTER and self.record.held_by(*self.me)


class _LateLease(NodeCore):
    """Counts the lease from the answer instead of from the question."""

    def _lease_answered(self, sent_at: float, held: bool, newest: Mastership | None, now: float) -> None:
        super()._lease_answered(now, held, newest, now)


class _Forgiving(NodeCore):
    """Takes any record as the truth, whatever its epoch."""

    def _see(self, record: Mastership, now: float, *, from_bus: bool = False) -> None:
        if record.epoch and record.epoch < self.record.epoch:
            self.record = record
        super()._see(record, now, from_bus=from_bus)


class _GivingUp(Sentinel):
    """One winner that does not act in time ends all failovers."""

    def _may_campaign(self, now: float) -> bool:
        return not self.watch.passed_over and super()._may_campaign(now)


class _Careless(Sentinel):
    """Leaves a Redis alone that knows less than it does itself."""

    def _read_record(self, record: Mastership, now: float) -> None:
        if record.epoch >= self.record.epoch:
            super()._read_record(record, now)


class _CarelessNode(NodeCore):
    """The same of a node."""

    def _see(self, record: Mastership, now: float, *, from_bus: bool = False) -> None:
        super()._see(record, now)


def _repairs_nothing(core: Sentinel) -> None:
    core.__class__ = _Careless


def _voter(kind: type[Voter]) -> Callable[[Sentinel], None]:
    def prepare(core: Sentinel) -> None:
        core.voter.__class__ = kind

    return prepare


def _counts_all(core: Sentinel) -> None:
    core.campaign.__class__ = _CarelessCount


def _quorum_elects(core: Sentinel) -> None:
    core.watch.quorum = core.campaign.majority = 1


def _gives_up(core: Sentinel) -> None:
    core.__class__ = _GivingUp


SOUND = Build()
DEFECTS: dict[str, Build] = {
    "reply before the vote is saved": Build(prepare_sentinel=_voter(_EagerVoter)),
    "two votes in one epoch": Build(prepare_sentinel=_voter(_TwoFacedVoter)),
    "votes of any epoch count": Build(prepare_sentinel=_counts_all, faults=("stragglers", "partition", "crash master")),
    "quorum instead of majority": Build(prepare_sentinel=_quorum_elects),
    "votes forgotten by a restart": Build(forgets_votes=True),
    "award without comparing epochs": Build(award_compares=False, faults=("partition", "crash master", "redis stall")),
    "acting after the lease": Build(node=_Deadlineless),
    "lease counted from the answer": Build(node=_LateLease),
    "lower epochs believed": Build(node=_Forgiving),
    "a forgetful Redis is not repaired": Build(
        node=_CarelessNode, prepare_sentinel=_repairs_nothing, faults=("redis data loss", "redis loses a second")
    ),
    "store without a fence": Build(store_open=True),
    "a silent winner ends the failover": Build(
        prepare_sentinel=_gives_up, faults=("redis stall", "isolate master", "crash master")
    ),
}
