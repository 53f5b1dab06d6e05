"""What has been said to whom under this epoch, and what has to be said again. Pure.

A node's assignment gets a new revision when its content changes, and is sent again, unchanged, until the node reports
that it applied it. (In the original a task was marked as running before a send that could get lost.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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

    def holders(self) -> frozenset[Holder]:
        return frozenset(self._said)

    def want(self, desired: Mapping[Holder, tuple[TaskShare, ...]]) -> None:
        """The desired state of every member; whoever is not named is not a member any more."""
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
        """What to send now: what is new, and what was not applied `resend_s` after it was sent last."""
        return [
            said.assignment
            for holder, said in self._said.items()
            if applied.get(holder, (0, 0)) < (said.assignment.epoch, said.assignment.revision)
            and (said.sent_at is None or now - said.sent_at >= resend_s)
        ]

    def sent(self, assignment: NodeAssignment, now: float) -> None:
        said = self._said.get(Holder(assignment.node, assignment.incarnation))
        if said is not None and said.assignment is assignment:
            said.sent_at = now

    def outrank(self, assignment: NodeAssignment) -> None:
        """A higher revision of this epoch stands already: give this node's state a far higher one."""
        self._revision = max(2 * self._revision, assignment.revision + 1000)
        self._said.pop(Holder(assignment.node, assignment.incarnation), None)

    def _shares(self, holder: Holder) -> tuple[TaskShare, ...] | None:
        said = self._said.get(holder)
        return None if said is None else said.assignment.shares
