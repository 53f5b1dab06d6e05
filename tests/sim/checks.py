"""What must always be true, checked while it happens. Each broken sentence is kept with its moment; nothing stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ha_stress.cluster.controls import Controls, Membership
from ha_stress.cluster.mastership import Mastership
from sentinel.effects import VoteState
from tests.sim.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant of one seed, `at_s` virtual seconds after the start."""

    seed: int
    invariant: str
    at_s: float
    detail: str


class Checks:
    """The history of one world, as somebody who sees everything knows it."""

    def __init__(self, timeline: Timeline, seed: int) -> None:
        self.timeline = timeline
        self.seed = seed
        self.violations: list[Violation] = []
        self.on_violation: Callable[[Violation], object] = lambda violation: None
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.winners: dict[int, tuple[str, str]] = {}
        self.forgotten: set[tuple[int, str]] = set()
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[str, int], str] = {}
        self.acked: dict[str, int] = {}
        self.memberships: dict[int, tuple[str, ...]] = {}
        self.holding: dict[str, Membership] = {}
        self.commanded: dict[tuple[str, str], int] = {}
        self.fence: tuple[int, str, str] = (0, "", "")

    def violate(self, invariant: str, detail: str) -> None:
        """Note a violation; the first of each kind is enough to fail a seed."""
        if all(known.invariant != invariant for known in self.violations):
            violation = Violation(self.seed, invariant, round(self.timeline.now, 4), detail)
            self.violations.append(violation)
            self.on_violation(violation)

    # --- records ---

    def record_seen(self, record: Mastership, where: str) -> None:
        """A record was written or learned somewhere: one winner per epoch, over the whole history."""
        if not record.epoch:
            return
        winner = (record.node, record.incarnation)
        known = self.winners.setdefault(record.epoch, winner)
        if known != winner and (record.epoch, known[1]) not in self.forgotten:
            self.violate("one winner per epoch", f"epoch {record.epoch}: {known[1]}, and at {where} {winner[1]}")

    def redis_wrote(self, before: Mastership, after: Mastership) -> None:
        if after.epoch < before.epoch:
            self.violate("the stored epoch never falls", f"from {before.epoch} to {after.epoch}")
        self.record_seen(after, "redis")

    def redis_forgot(self, record: Mastership, durable: int, majority: int) -> None:
        """Redis lost its data. A first mastership that no majority of sentinels had on disk may be given again: nothing
        that survives knows of it, and the fence of the store refuses whoever comes second."""
        if record.epoch == 1 and durable < majority:
            self.forgotten.add((1, record.incarnation))
            self.counts["first masters forgotten"] += 1

    def learned(self, name: str, before: Mastership, after: Mastership) -> None:
        """A living process replaced its record."""
        self.record_seen(after, name)
        if after.epoch < before.epoch:
            self.violate("nobody unlearns", f"{name} went from {before.epoch} to {after.epoch}")

    # --- votes ---

    def elected(self, epoch: int, leader: str, members: tuple[str, ...]) -> None:
        self.counts["elections"] += 1
        known = self.leaders.setdefault(epoch, leader)
        if known != leader:
            self.violate("one leader per epoch", f"epoch {epoch}: {known} and {leader}")
        voters = [voter for voter in members if self.votes.get((voter, epoch)) == leader]
        if len(voters) <= len(members) // 2:
            self.violate("a majority elects", f"{leader} at epoch {epoch} has the votes of {voters}, of {members}")

    def vote_given(self, voter: str, epoch: int, candidate: str) -> None:
        """A vote that exists: acknowledged by the disk, or told to its candidate."""
        known = self.votes.setdefault((voter, epoch), candidate)
        if known != candidate:
            self.violate("one vote per epoch", f"{voter} at epoch {epoch}: {known} and {candidate}")

    def vote_decided(self, voter: str, epoch: int, *, tilt: bool, master_up: bool) -> None:
        """A sentinel made up its mind to support a peer; what it tells later, when this is on disk, follows from it."""
        if tilt:
            self.violate("nobody votes in tilt", f"{voter} at epoch {epoch}")
        if master_up:
            self.violate("nobody votes against a master it sees up", f"{voter} at epoch {epoch}")

    def vote_told(self, voter: str, epoch: int, candidate: str, disk: VoteState) -> None:
        self.vote_given(voter, epoch, candidate)
        if disk.voted_epoch < epoch:
            self.violate("a vote is on disk before it is told", f"{voter} told {epoch}, has {disk.voted_epoch}")

    def vote_acked(self, voter: str, state: VoteState) -> None:
        self.acked[voter] = max(self.acked.get(voter, 0), state.voted_epoch)
        if state.voted_epoch:
            self.vote_given(voter, state.voted_epoch, state.voted_for)

    def disk_written(self, voter: str, before: VoteState, after: VoteState) -> None:
        if after.voted_epoch < self.acked.get(voter, 0):
            self.violate("the voted epoch never falls", f"{voter}: {self.acked[voter]} to {after.voted_epoch}")
        if after.controls is not before.controls:
            self.membership_changed(voter, before.controls.membership, after.controls.membership)
        if after.record.epoch < before.record.epoch:
            self.violate("the record on disk never falls", f"{voter}: {before.record.epoch} to {after.record.epoch}")

    # --- the operator ---

    def wishes_heard(self, sentinel: str, before: Controls, after: Controls) -> None:
        """A living sentinel replaced what it knows of the operator's wishes."""
        if after.revision < before.revision:
            detail = f"{sentinel} went back from revision {before.revision} to {after.revision}"
            self.violate("no wish of the operator is forgotten", detail)

    def membership_changed(self, voter: str, before: Membership, after: Membership) -> None:
        """A sentinel has another membership on disk. One that only a minority ever had may be lost with the data of Redis
        and be given anew; one that is in force (a majority of its members has it on disk) is the only one that is."""
        if after.version < before.version:
            self.violate("no membership is taken back", f"{voter} went from {before} to {after}")
        self.holding[voter] = after
        known = {(one.version, one.members): one for one in self.holding.values() if one.version}
        in_force = [one for one in known.values() if self._rules(one)]
        for one in in_force:
            if one is not in_force[0]:
                self.violate("one membership is in force", f"{in_force[0]} and {one}")
            previous = self.memberships.get(one.version - 1)
            self.memberships[one.version] = one.members
            if previous is not None and len({*previous} ^ {*one.members}) != 1:
                self.violate("one sentinel at a time", f"from {previous} to {one.members} on {voter}")

    def _rules(self, membership: Membership) -> bool:
        """Whether a majority of its members has it on disk."""
        one = (membership.version, membership.members)
        holders = {voter for voter, held in self.holding.items() if (held.version, held.members) == one}
        return len(holders & {*membership.members}) > len(membership.members) // 2

    def failed_over_while_paused(self, leader: str, epoch: int) -> None:
        self.violate("a paused cluster fails nobody over", f"{leader} was elected at epoch {epoch}")

    def nobody_left(self, leader: str, record: Mastership, passed_over: Mapping[str, str]) -> None:
        """A leader found no good candidate; `passed_over` is what it holds on to afterwards. The master that has failed
        may be among them: it is no candidate in any case."""
        held_back = [node for node, incarnation in passed_over.items() if not record.held_by(node, incarnation)]
        if held_back:
            self.violate("who was passed over gets another chance", f"{leader} still holds {held_back} back")

    # --- acting ---

    def lease_given(self, owner: tuple[int, str, str], record: Mastership) -> None:
        if owner != (record.epoch, record.node, record.incarnation):
            self.violate("the lease is only for whom the record names", f"{owner[2]} at {owner[0]}, not {record.epoch}")

    def acted(self, incarnation: str, epoch: int, lease_until: float) -> None:
        self.counts["acts"] += 1
        if self.timeline.now >= lease_until:
            late_ms = (self.timeline.now - lease_until) * 1000
            self.violate("nobody acts after its lease", f"{incarnation} at epoch {epoch}, {late_ms:.1f} ms late")

    def commanded_at(self, worker: str, incarnation: str, epoch: int, known_epoch: int) -> None:
        """A worker carries out a command. `known_epoch` is that of the record that its node knew."""
        known = max(known_epoch, self.commanded.get((worker, incarnation), 0))
        if epoch < known:
            self.violate("no command of a lower epoch", f"{incarnation} took epoch {epoch} after {known}")
        self.commanded[(worker, incarnation)] = max(known, epoch)

    def fence_passed(self, epoch: int, node: str, incarnation: str) -> None:
        """The store accepted a write."""
        known = self.fence
        if epoch < known[0]:
            self.violate("no write of a lower epoch", f"{incarnation} at {epoch} after {known[0]}")
        elif epoch == known[0] and (node, incarnation) != known[1:]:
            self.violate("no two writers in one epoch", f"epoch {epoch}: {known[2]} and {incarnation}")
        self.fence = max(known, (epoch, node, incarnation))
