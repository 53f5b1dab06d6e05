"""Sentinels with one planted defect each. `as_it_is` and its like turn a sound core into a broken one before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ha_stress.cluster.controls import Controls
from ha_stress.cluster.mastership import Mastership
from ha_stress.wire.messages import PreVoteRequest, VoteRequest
from sentinel.core import Sentinel
from sentinel.effects import SaveVote, SendPeer
from sentinel.failover import Campaign
from sentinel.votes import Standing, Voter


def as_it_is(core: Sentinel) -> None:
    """The sound core needs no preparation."""


def of_kind(kind: type[Sentinel]) -> Callable[[Sentinel], None]:
    def prepare(core: Sentinel) -> None:
        core.__class__ = kind

    return prepare


def with_voter(kind: type[Voter]) -> Callable[[Sentinel], None]:
    def prepare(core: Sentinel) -> None:
        core.voter.__class__ = kind

    return prepare


# --- votes ---


class EagerVoter(Voter):
    """The reply leaves before the vote is on disk."""

    def answer_vote(self, request: VoteRequest, standing: Standing) -> list[SaveVote | SendPeer]:
        out = super().answer_vote(request, standing)
        if any(isinstance(effect, SaveVote) for effect in out):
            return [self._reply(request.sender, request.epoch, ""), *out]
        return out


class TwoFacedVoter(Voter):
    """A second candidate of the same epoch gets a vote as well."""

    def answer_vote(self, request: VoteRequest, standing: Standing) -> list[SaveVote | SendPeer]:
        if request.epoch == self.state.voted_epoch:
            return [self._reply(request.sender, request.epoch, "")]
        return super().answer_vote(request, standing)


class DazedVoter(Voter):
    """Votes although it is in tilt: what it sees of the master is of the time before its own absence."""

    def _objection(self, request: PreVoteRequest | VoteRequest, standing: Standing) -> str:
        return super()._objection(request, replace(standing, tilt=False))


class ObligingVoter(Voter):
    """Votes against a master that it sees up itself."""

    def _objection(self, request: PreVoteRequest | VoteRequest, standing: Standing) -> str:
        return super()._objection(request, replace(standing, master_down=True))


# --- counting ---


class _CarelessCount(Campaign):
    """Replies count whatever their epoch is."""

    __slots__ = ()

    def count(self, sender: str, epoch: int, granted: bool, reason: str) -> bool:
        return super().count(sender, self.epoch, granted, reason)


def counts_all(core: Sentinel) -> None:
    core.campaign.__class__ = _CarelessCount


class _QuorumCounts(Campaign):
    """A quorum of votes elects, and the quorum is 1."""

    __slots__ = ()

    def count(self, sender: str, epoch: int, granted: bool, reason: str) -> bool:
        super().count(sender, epoch, granted, reason)
        return epoch == self.epoch and len(self.grants) >= 1


def quorum_elects(core: Sentinel) -> None:
    core.watch.quorum = 1
    core.campaign.__class__ = _QuorumCounts


# --- the operator ---


def as_asked(changed: Controls, everybody: tuple[str, ...]) -> Controls:
    """One sentinel at a time, as the operator's command makes it."""
    return changed


def two_at_once(changed: Controls, everybody: tuple[str, ...]) -> Controls:
    """Another member leaves in the same change."""
    _, *rest = changed.membership.members
    return replace(changed, membership=replace(changed.membership, members=tuple(rest)))


class Forgetful(Voter):
    """Takes what Redis has for what the operator wants, even if Redis has lost it."""

    def learn_controls(self, controls: Controls) -> list[SaveVote]:
        self.controls = controls
        return self._write_next()


class Busy(Sentinel):
    """Goes on with failovers although they are paused."""

    @property
    def paused(self) -> bool:
        return False


# --- failovers and records ---


class GivingUp(Sentinel):
    """One winner that does not act in time ends all failovers."""

    def _may_campaign(self, now: float) -> bool:
        return not self.watch.passed_over and super()._may_campaign(now)


class Resentful(Sentinel):
    """Whoever was passed over once stays so, even when nobody else is left."""

    def _lead(self, now: float) -> None:
        passed_over = dict(self.watch.passed_over)
        super()._lead(now)
        self.watch.passed_over.update(passed_over)


class Careless(Sentinel):
    """Leaves a Redis alone that knows less than it does itself."""

    def _read_record(self, record: Mastership, now: float) -> None:
        if record.epoch >= self.record.epoch:
            super()._read_record(record, now)
