"""What was seen of a cluster over all its rounds, and what of it must never be. Pure.

It remembers more than Redis does: after a loss of data an epoch must not be won a second time, although nothing in Redis
could tell any more that it was won before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Who holds a mastership: epoch, node, incarnation.
Identity = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Violation:
    """A sentence each on what must be and what was."""

    invariant: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.invariant}: expected {self.expected}; found {self.found}"


@dataclass(slots=True)
class History:
    """Fed with single looks, in the order of time; collects violations until they are taken."""

    record: Identity = (0, "", "")
    highest: int = 0
    fence: Identity = (0, "", "")
    winners: dict[int, Identity] = field(default_factory=dict)
    leaders: dict[int, str] = field(default_factory=dict)
    acted: dict[int, str] = field(default_factory=dict)
    votes: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: Until when the record may be below the highest epoch: "" not at all, "declared", "seen" to have fallen.
    loss: str = ""
    looks: int = 0
    _violations: dict[Violation, None] = field(default_factory=dict)

    def expect(self, holds: bool, invariant: str, expected: str, found: object) -> None:
        if not holds:
            self._violations[Violation(invariant, expected, str(found))] = None

    def take_violations(self) -> list[Violation]:
        found = list(self._violations)
        self._violations.clear()
        return found

    def declare_loss(self) -> None:
        """Redis is about to lose its data: its record may fall, until whoever knows more has repaired it."""
        self.loss = "declared"

    def see_record(self, record: Identity, lease: str) -> None:
        """Record and lease as they were at one instant. The lease is "epoch:node:incarnation" or ""."""
        self.looks += 1
        epoch = record[0]
        if not self.loss:
            self.expect(epoch >= self.highest, "epoch-never-falls", f"an epoch of at least {self.highest}", record)
        elif epoch < self.highest:
            self.loss = "seen"
        elif self.loss == "seen":
            self.loss = ""  # repaired: from here on it may not fall again
        if epoch:
            won = self.winners.setdefault(epoch, record)
            self.expect(won == record, "one-winner-per-epoch", f"{won} for ever", record)
        holder = ":".join(map(str, record))
        self.expect(lease in ("", holder), "lease-is-the-masters", f"a free lease, or one of {holder}", lease)
        self.record = record
        self.highest = max(self.highest, epoch)

    def see_fence(self, fence: Identity) -> None:
        """The row that locks older masters out of the database. See it before the record of the same moment."""
        epoch = fence[0]
        self.expect(fence >= self.fence, "fence-never-falls", f"at least {self.fence}", fence)
        if epoch in self.winners:
            won = self.winners[epoch]
            self.expect(fence == won, "fence-is-a-winners", f"{won}, who won epoch {epoch}", fence)
        self.fence = max(self.fence, fence)

    def fence_is_covered(self) -> None:
        """After both were seen: nobody writes to the database under an epoch that no record gave."""
        if not self.loss:
            expected = f"at most epoch {self.highest}"
            self.expect(self.fence[0] <= self.highest, "fence-not-above-the-record", expected, self.fence)

    def see_vote(self, sentinel: str, epoch: int, leader: str) -> None:
        before, to = self.votes.get(sentinel, (0, ""))
        name = f"{sentinel} at epoch {before}"
        self.expect(epoch >= before, "votes-never-fall", f"{name} or above", epoch)
        self.expect(
            epoch != before or leader == to or not before, "one-vote-per-epoch", f"{name} votes for {to}", leader
        )
        if epoch >= before:
            self.votes[sentinel] = (epoch, leader)

    def vote_lost(self, sentinel: str, problem: str) -> None:
        self.expect(sentinel not in self.votes, "votes-never-fall", f"a vote file of {sentinel}", problem)

    def see_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """The event stream as it stands, oldest first, as plain fields."""
        last = 0
        for event in events:
            epoch, sequence = int(event["epoch"]), int(event["sequence"])
            self.expect(last in (0, sequence - 1), "events-without-gaps", f"event {last + 1} after {last}", sequence)
            last = sequence
            match event["name"]:
                case "+switch-master":
                    won = self.winners.get(epoch)
                    self.expect(
                        won is None or won[1] == event["subject"],
                        "one-winner-per-epoch",
                        f"{won} for ever",
                        f"+switch-master to {event['subject']} under epoch {epoch}",
                    )
                case "+elected-leader":
                    self._one(self.leaders, epoch, event["source"], "one-leader-per-epoch")
                case "+acting":
                    self._one(self.acted, epoch, event["source"], "one-acting-master-per-epoch")

    def _one(self, known: dict[int, str], epoch: int, name: str, invariant: str) -> None:
        first = known.setdefault(epoch, name)
        self.expect(first == name, invariant, f"{first} alone at epoch {epoch}", name)

    def close(self) -> None:
        """The cluster has settled: nothing may be missing any more."""
        self.loss = ""
        self.expect(
            self.record[0] >= self.highest, "record-is-repaired", f"a record of epoch {self.highest}", self.record
        )
        self.expect(
            self.fence == self.record, "fence-is-the-masters", f"the record's {self.record} in the database", self.fence
        )
