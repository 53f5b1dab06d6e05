"""What has been said to whom under this epoch, and what has to be said again. Pure.

A node's assignment gets a new revision when its content changes, and is sent again, unchanged, until the node reports
that it applied it. (In the original a task was marked as running before a send that could get lost.)

An *absent* holder is one that is believed dead. It may only be suspended: what was taken from it is written down for it
too, once, so that it finds that when it wakes up and reads, before it goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ha_stress.base.limits import ASSIGNMENT_BYTES_PER_SEND_MAX, ASSIGNMENTS_PER_SEND_MAX
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.schedule import Holder, NodeAssignment, TaskShare


@dataclass(slots=True)
class _Said:
    assignment: NodeAssignment
    sent_at: float | None = None


class Outgoing:
    """The assignments of one epoch. Revisions count from 1, over all nodes."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._revision = 0
        self._said: dict[Holder, _Said] = {}
        self._absent: frozenset[Holder] = frozenset()

    def holders(self) -> frozenset[Holder]:
        """The members."""
        return frozenset(self._said) - self._absent

    def want(self, desired: Mapping[Holder, tuple[TaskShare, ...]], absent: Collection[Holder] = ()) -> None:
        """The desired state of every member and of those `absent`. Who is not named is gone and nothing of it is open."""
        last_words = self._last_words(desired)
        desired = {**desired, **last_words}
        self._absent = frozenset(absent) | frozenset(last_words)
        for holder in set(self._said) - set(desired):
            del self._said[holder]
        changed = [holder for holder, shares in desired.items() if self._shares(holder) != shares]
        if changed:
            self._revision += 1
        for holder in changed:
            self._said[holder] = _Said(
                NodeAssignment(
                    epoch=self._epoch,
                    revision=self._revision,
                    node=holder.node,
                    incarnation=holder.incarnation,
                    shares=desired[holder],
                )
            )

    def due(self, applied: Mapping[Holder, tuple[int, int]], now: float, resend_s: float) -> list[NodeAssignment]:
        """What to send now: what is new, and what was not applied `resend_s` after it was sent last.

        To the absent everything is said once: nobody is there to confirm it.
        """
        return [
            said.assignment
            for holder, said in self._said.items()
            if applied.get(holder, (0, 0)) < (said.assignment.epoch, said.assignment.revision)
            and (said.sent_at is None or (holder not in self._absent and now - said.sent_at >= resend_s))
        ]

    def sent(self, assignment: NodeAssignment, now: float) -> None:
        said = self._said.get(Holder(assignment.node, assignment.incarnation))
        if said is not None and said.assignment is assignment:
            said.sent_at = now

    def outrank(self, assignment: NodeAssignment) -> None:
        """A higher revision of this epoch stands already: give this node's state a far higher one."""
        self._revision = max(2 * self._revision, assignment.revision + 1000)
        self._said.pop(Holder(assignment.node, assignment.incarnation), None)

    def _last_words(self, desired: Mapping[Holder, tuple[TaskShare, ...]]) -> dict[Holder, tuple[TaskShare, ...]]:
        """Whose work ended while it was absent shall find nothing to do. (A successor of its name has its place.)"""
        nodes = {holder.node for holder in desired}
        return {
            holder: ()
            for holder in self._absent - set(desired)
            if holder.node not in nodes and self._shares(holder) not in (None, ())
        }

    def _shares(self, holder: Holder) -> tuple[TaskShare, ...] | None:
        said = self._said.get(holder)
        return None if said is None else said.assignment.shares


def batches(assignments: Iterable[NodeAssignment]) -> Iterator[list[NodeAssignment]]:
    """In groups that Redis takes in one go, bounded in number and in bytes. What is larger than such a group goes alone."""
    batch: list[NodeAssignment] = []
    bytes_left = ASSIGNMENT_BYTES_PER_SEND_MAX
    for assignment in assignments:
        size = sum(map(_bytes_of, assignment.shares))
        if batch and (len(batch) == ASSIGNMENTS_PER_SEND_MAX or size > bytes_left):
            yield batch
            batch, bytes_left = [], ASSIGNMENT_BYTES_PER_SEND_MAX
        batch.append(assignment)
        bytes_left -= size
    if batch:
        yield batch


def _bytes_of(share: TaskShare) -> int:
    """About how large the large parts of a share are."""
    bodies = sum(len(request.body) for request in requests_of(share))
    scenario = len(share.scenario.source) + len(share.scenario.data) if share.scenario is not None else 0
    return bodies + scenario + 3 * sum(len(part.slots) for part in share.parts if part.users)
