"""The vote: one per epoch, on disk before anybody hears of it; and the pre-vote, which changes nothing.

Rules, each against a recorded defect of others:
  - a vote is for the epoch of the *request*, never for "the current epoch";
  - it is refused in tilt, in pause, while this sentinel itself sees the master up, for other members, for an older record;
  - it is refused if it cannot be written; the reply is made of the saved state, after it was saved;
  - asking again for the vote that one has is answered again (the first answer may have been lost).

One write is under way at a time, and what is written never has a lower voted epoch than what was written before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ha_stress.cluster.controls import Controls, newer_controls
from ha_stress.cluster.mastership import Mastership, newer
from ha_stress.wire.messages import PreVoteReply, PreVoteRequest, VoteReply, VoteRequest
from sentinel.effects import SaveVote, SendPeer, VoteState


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How this sentinel stands at the moment of a request."""

    members: tuple[str, ...]
    floor: int
    record: Mastership
    tilt: bool
    paused: bool
    master_down: bool
    live_leader: str


class Voter:
    """Holds the durable vote: `state` is what is on disk for certain.

    `choice` is a vote that was decided and is not yet on disk: until it is, or has failed, there is no other.
    """

    def __init__(self, me: str, state: VoteState, *, leader_patience_s: float) -> None:
        self.me = me
        self.state = state
        self.choice: VoteState | None = None
        self.newest = state.record
        self.controls = state.controls
        self.problem = ""  # why the last write failed
        self._writing: VoteState | None = None
        self._leader_patience_s = leader_patience_s
        self._voted_at = float("-inf")

    def live_leader(self, now: float) -> str:
        """For whom this sentinel voted so recently that it may still be about to award; "" if nobody."""
        recent = now - self._voted_at < self._leader_patience_s
        return self.state.voted_for if recent and self.state.voted_epoch > self.newest.epoch else ""

    # --- requests ---

    def answer_pre_vote(self, request: PreVoteRequest, standing: Standing) -> PreVoteReply:
        reason = self._objection(request, standing)
        if not reason and request.epoch <= self.state.voted_epoch:
            reason = f"already voted at epoch {self.state.voted_epoch}"
        return PreVoteReply(
            sender=self.me,
            epoch=request.epoch,
            granted=not reason,
            reason=reason,
            voted_epoch=self.state.voted_epoch,
        )

    def answer_vote(self, request: VoteRequest, standing: Standing) -> list[SaveVote | SendPeer]:
        """Either a reply that can go out at once, or the write that must come first (the reply follows from `saved`)."""
        already = request.epoch == self.state.voted_epoch and request.sender == self.state.voted_for
        if already and not standing.tilt:
            return [self._reply(request.sender, request.epoch, "")]
        reason = self._objection(request, standing)
        if not reason and request.epoch <= self.state.voted_epoch:
            reason = f"already voted for {self.state.voted_for} at epoch {self.state.voted_epoch}"
        if not reason and self.choice is not None:
            reason = f"busy writing a vote for {self.choice.voted_for}"
        if reason:
            return [self._reply(request.sender, request.epoch, reason)]
        return list(self._choose(request.epoch, request.sender))

    def vote_for_self(self, epoch: int) -> list[SaveVote] | None:
        """Vote for oneself; None if that epoch's vote is gone or another vote is being written."""
        if self.choice is not None or epoch <= self.state.voted_epoch:
            return None
        return self._choose(epoch, self.me)

    def learn(self, record: Mastership) -> list[SaveVote]:
        """Keep the newest record on disk too: a Redis that lost its data does not restart history."""
        self.newest = newer(self.newest, record)
        return self._write_next()

    def learn_controls(self, controls: Controls) -> list[SaveVote]:
        """Keep what the operator asked for last; a membership counts from the moment at which it is on disk."""
        self.controls = newer_controls(self.controls, controls)
        return self._write_next()

    # --- writes ---

    def saved(self, state: VoteState, now: float) -> tuple[VoteState | None, list[SaveVote | SendPeer]]:
        """A write is on disk. Returns the vote that exists from now on (None: only the record was saved), and what to
        do next: the reply to its candidate, further writes."""
        moved = state.controls.membership.version != self.state.controls.membership.version
        self.state = state
        self.problem = ""
        self._writing = None
        voted = None
        out: list[SaveVote | SendPeer] = []
        if moved and self.choice is not None and state.voted_epoch != self.choice.voted_epoch:
            # Decided under the membership that is over: nobody may count on it any more.
            lost, self.choice = self.choice, None
            if lost.voted_for != self.me:
                out.append(self._reply(lost.voted_for, lost.voted_epoch, "another membership"))
        if self.choice is not None and state.voted_epoch == self.choice.voted_epoch:
            voted, self.choice = self.choice, None
            self._voted_at = now
            if voted.voted_for != self.me:
                out.append(self._reply(voted.voted_for, voted.voted_epoch, ""))
        return voted, [*out, *self._write_next()]

    def not_saved(self, state: VoteState, problem: str) -> list[SaveVote | SendPeer]:
        """A write failed: there is no vote. Returns the refusal for its candidate. From now on this sentinel supports
        nobody, until the write that is tried each time the record or the controls are read again has succeeded."""
        self.problem = problem
        self._writing = None
        lost, self.choice = self.choice, None
        if lost is None or lost.voted_for == self.me:
            return []
        reason = f"the vote could not be written: {problem}"
        return [self._reply(lost.voted_for, lost.voted_epoch, reason)]

    def _choose(self, epoch: int, candidate: str) -> list[SaveVote]:
        assert epoch > self.state.voted_epoch and self.choice is None
        self.choice = VoteState(voted_epoch=epoch, voted_for=candidate)
        return self._write_next()

    def _write_next(self) -> list[SaveVote]:
        if self._writing is not None:
            return []
        if self.choice is not None:
            self._writing = replace(self.choice, record=self.newest, controls=self.controls)
        elif self.problem or self.newest != self.state.record or self.controls != self.state.controls:
            self._writing = replace(self.state, record=self.newest, controls=self.controls)
        else:
            return []
        return [SaveVote(self._writing)]

    def _reply(self, to: str, epoch: int, reason: str) -> SendPeer:
        reply = VoteReply(
            sender=self.me, epoch=epoch, granted=not reason, reason=reason, voted_epoch=self.state.voted_epoch
        )
        return SendPeer(to, reply)

    def _objection(self, request: PreVoteRequest | VoteRequest, standing: Standing) -> str:
        """Why this sentinel would support nobody, or not this one; "" if nothing speaks against it."""
        reason = ""
        if standing.tilt:
            reason = "in tilt"
        elif self.problem:
            reason = f"the vote file cannot be written: {self.problem}"
        elif standing.paused:
            reason = "paused by the operator"
        elif self.me not in standing.members:
            reason = "no member (any more)"
        elif request.sender not in standing.members or set(request.members) != set(standing.members):
            reason = "another membership"
        elif request.epoch <= standing.floor:
            reason = f"epoch {request.epoch} belongs to an earlier membership"
        elif request.epoch <= standing.record.epoch:
            reason = f"epoch {request.epoch} is not above the record's {standing.record.epoch}"
        elif request.record.epoch < standing.record.epoch:
            reason = f"your record is of epoch {request.record.epoch}, mine of {standing.record.epoch}"
        elif not standing.master_down:
            reason = "I see the master up"
        elif standing.live_leader not in ("", request.sender):
            reason = f"{standing.live_leader} leads"
        return reason
