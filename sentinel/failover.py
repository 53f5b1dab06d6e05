"""One campaign, from the first suspicion to the accepted winner. A table of phases; each has a deadline.

    IDLE --odown--> DESYNC --random wait--> PRE_VOTE --majority--> SAVING --on disk--> VOTING --majority--> AWARDING
                                              |                      |                  |                     |
                                              +----------------------+------------------+--> BACKOFF <--------+ bus
    AWARDING --script won--> CONFIRMING --winner seen acting--> IDLE
                                        --accept_timeout------> IDLE (the winner is passed over; odown starts again)

The campaign counts only replies that carry exactly its epoch. It holds numbers and moments, and decides when they are
enough; what that means for the world is `core`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from ha_stress.base.config import Timing
from ha_stress.cluster.mastership import NOBODY, Mastership
from sentinel.selection import Candidate


class Phase(Enum):
    IDLE = auto()
    DESYNC = auto()
    PRE_VOTE = auto()
    SAVING = auto()
    VOTING = auto()
    AWARDING = auto()
    CONFIRMING = auto()
    BACKOFF = auto()


#: Phases in which the master must still be objectively down for the campaign to go on.
ASKING = frozenset({Phase.DESYNC, Phase.PRE_VOTE, Phase.SAVING, Phase.VOTING})
#: Phases in which others have heard of this campaign.
KNOWN = frozenset({Phase.PRE_VOTE, Phase.SAVING, Phase.VOTING, Phase.AWARDING, Phase.CONFIRMING})
#: Phases in which this sentinel has been elected and not yet finished.
LEADING = frozenset({Phase.AWARDING, Phase.CONFIRMING})
#: An award is a Redis call; its adapter gives up after about a second.
AWARD_TIMEOUT_S = 2.0


@dataclass(slots=True)
class Marks:
    """When each phase was reached, monotonic seconds; None: not reached."""

    last_pong: float | None = None
    sdown: float | None = None
    odown: float | None = None
    elected: float | None = None
    awarded: float | None = None
    accepted: float | None = None

    def as_ms(self) -> dict[str, float | None]:
        """Relative to the subjectively-down instant, which is 0."""
        zero = self.sdown if self.sdown is not None else 0.0

        def ms(moment: float | None) -> float | None:
            return None if moment is None else round((moment - zero) * 1000, 1)

        return {
            "last_pong_ms": ms(self.last_pong),
            "sdown_ms": ms(self.sdown),
            "odown_ms": ms(self.odown),
            "elected_ms": ms(self.elected),
            "awarded_ms": ms(self.awarded),
            "accepted_ms": ms(self.accepted),
        }


@dataclass(slots=True)
class Campaign:
    """The state of this sentinel's own attempt to lead a failover."""

    timing: Timing
    majority: int
    random: Callable[[], float]
    phase: Phase = Phase.IDLE
    epoch: int = 0
    deadline: float | None = None
    attempts: int = 0
    against: Mastership = NOBODY
    cause: str = ""
    grants: set[str] = field(default_factory=set)
    answers: dict[str, str] = field(default_factory=dict)
    table: list[Candidate] = field(default_factory=list)
    winner: Mastership = NOBODY
    announce_at: float = 0.0
    marks: Marks = field(default_factory=Marks)

    @property
    def leading_epoch(self) -> int:
        return self.epoch if self.phase in LEADING else 0

    @property
    def kind(self) -> str:
        """Forced because something failed, or asked for: by the operator, or by a master that leaves."""
        return "switchover" if self.cause in ("leaving", "switchover") else "failover"

    @property
    def why(self) -> str:
        """What the new record says of its reason."""
        asked = "asked for by the operator" if self.cause == "switchover" else self.cause
        return f"{self.kind}: {asked}"

    def report(self, leader: str, outcome: str, at: float) -> dict[str, Any]:
        """What is kept of this failover for people: who, why, when (Unix seconds), every candidate with its reason."""
        return {
            "epoch": self.epoch,
            "kind": self.kind,
            "leader": leader,
            "old": {"node": self.against.node, "incarnation": self.against.incarnation},
            "winner": {"node": self.winner.node, "incarnation": self.winner.incarnation},
            "cause": self.cause,
            "phases": self.marks.as_ms(),
            "votes": dict(self.answers),
            "candidates": [row.as_row() for row in self.table],
            "outcome": outcome,
            "at": at,
        }

    def start(self, against: Mastership, cause: str, marks: Marks, now: float) -> None:
        self.against, self.cause, self.marks = against, cause, marks
        self.winner, self.table = NOBODY, []
        self.attempts = 0
        self._enter(Phase.DESYNC, now + self.random() * self.timing.desync_s)

    def ask(self, epoch: int, me: str, now: float) -> None:
        self.epoch = epoch
        self._collect(Phase.PRE_VOTE, me, now)

    def save(self, now: float) -> None:
        self._enter(Phase.SAVING, now + self.timing.vote_timeout_s)

    def vote(self, me: str, now: float) -> None:
        self._collect(Phase.VOTING, me, now)

    def elected(self, now: float) -> None:
        self.marks.elected = now
        self._enter(Phase.AWARDING, now + AWARD_TIMEOUT_S)

    def awarded(self, winner: Mastership, now: float) -> None:
        self.marks.awarded = now
        self.winner = winner
        self.announce_at = now + self.timing.announce_period_s
        self._enter(Phase.CONFIRMING, now + self.timing.accept_timeout_s)

    def back_off(self, now: float) -> None:
        """Wait a random part of a doubling span, so that two campaigns that split the votes do not meet again."""
        span = min(self.timing.retry_min_s * 2**self.attempts, self.timing.retry_max_s)
        self.attempts = min(self.attempts + 1, 16)
        self._enter(Phase.BACKOFF, now + span * (1 + self.random()))

    def look_again(self, now: float) -> None:
        """Wait for somebody who could follow: nodes tell of themselves once a ping period."""
        self._enter(Phase.BACKOFF, now + self.timing.ping_period_s)

    def end(self) -> None:
        self.phase = Phase.IDLE
        self.deadline = None
        self.attempts = 0

    def count(self, sender: str, epoch: int, granted: bool, reason: str) -> bool:
        """Take one reply of the running round. Returns whether it makes the majority."""
        if epoch != self.epoch:
            return False
        self.answers[sender] = "granted" if granted else reason
        if granted:
            self.grants.add(sender)
        return len(self.grants) >= self.majority

    def is_over(self, now: float) -> bool:
        return self.deadline is not None and now >= self.deadline

    def is_hopeless(self, members: int) -> bool:
        """Everybody has answered a vote and it is no majority: waiting changes nothing. (A pre-vote may still turn.)"""
        return self.phase is Phase.VOTING and len(self.answers) >= members and len(self.grants) < self.majority

    def next_deadline(self) -> float:
        if self.deadline is None:
            return float("inf")
        return min(self.deadline, self.announce_at) if self.phase is Phase.CONFIRMING else self.deadline

    def _collect(self, phase: Phase, me: str, now: float) -> None:
        self.grants = {me}
        self.answers = {me: "granted"}
        self._enter(phase, now + self.timing.vote_timeout_s)

    def _enter(self, phase: Phase, deadline: float) -> None:
        self.phase = phase
        self.deadline = deadline
