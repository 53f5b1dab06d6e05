"""What the operator asks of the cluster's people: one record with one revision, kept by Redis and by every sentinel's file.

    operator --API, compare and set--> controls record + hint --> sentinels (pause, switchover, members), nodes (their tags)

The higher revision is the truth, wherever it came from; a sentinel that reads a lower one from Redis writes its own back, so
that a Redis that lost its data does not resume what was paused. Each function returns the next record, or raises Conflict
with the sentence for the operator. Pure.

Membership changes one sentinel at a time. Two successive memberships then share a voter in any two of their majorities,
and one change may follow another only when a majority of the present members has the present membership on disk; `floor`
is the highest epoch that those had voted at, and no vote of the new membership is given at or below it. So no epoch gets
two leaders, whoever of them was asked. The argument is that of single-server changes in Raft (Ongaro, 2014, chapter 4),
with the vote file in place of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ha_stress.base.errors import Conflict
from ha_stress.base.limits import SENTINELS_MAX, TAGGED_NODES_MAX
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import SentinelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What the operator says of one node. `priority` None: as the node was configured; 0: never master. A draining node
    keeps no share, gets no new one, and is not chosen as master."""

    priority: int | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Switchover:
    """Please hand over from the master of `epoch`, to `to` ("": to the best). Void as soon as the epoch is another one.
    `asked` is the revision of the controls at which it was asked: two wishes are never the same."""

    epoch: int
    asked: int
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who the sentinels are. Version 0: as each was configured. `floor`: no vote at or below this epoch."""

    version: int = 0
    members: tuple[str, ...] = ()
    floor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """The record. Revision 0: nobody ever asked for anything."""

    revision: int = 0
    paused: bool = False
    pause_why: str = ""
    switchover: Switchover | None = None
    membership: Membership = field(default_factory=Membership)
    tags: Mapping[str, Tags] = field(default_factory=dict)

    def switchover_at(self, epoch: int) -> Switchover | None:
        """The wish that is still open under this epoch."""
        wish = self.switchover
        return wish if wish is not None and wish.epoch == epoch else None


NO_CONTROLS = Controls()


def newer_controls(a: Controls, b: Controls) -> Controls:
    """The record that is the truth: the higher revision; on a tie `b`, which is what Redis has: two wishes may get
    the same revision when Redis has lost its data in between, and all must follow the same one.

    The membership is that of the higher version, whatever the revision: a wish that was made to a Redis that had lost a
    change of it must not take that change back, or two majorities without a common voter could be in force at once. The
    record that has both is a further revision, and so wins over the two that it is made of.
    """
    newest, other = (b, a) if b.revision >= a.revision else (a, b)
    if newest.membership.version >= other.membership.version:
        return newest
    return replace(newest, revision=newest.revision + 1, membership=other.membership)


# --- what the operator may ask for ---


def pause(controls: Controls, why: str) -> Controls:
    """Sentinels observe only: they neither campaign nor vote, except for a switchover that is asked for."""
    return replace(controls, revision=controls.revision + 1, paused=True, pause_why=why)


def resume(controls: Controls) -> Controls:
    return replace(controls, revision=controls.revision + 1, paused=False, pause_why="")


def ask_switchover(controls: Controls, record: Mastership, to: str) -> Controls:
    """Conflict if there is no master to hand over from, or the target is the master already."""
    if not record.epoch:
        raise Conflict("there is no master yet, so there is nothing to hand over")
    if to == record.node:
        raise Conflict(f"{to} is the master already")
    asked = controls.revision + 1
    return replace(controls, revision=asked, switchover=Switchover(epoch=record.epoch, asked=asked, to=to))


def withdraw_switchover(controls: Controls) -> Controls:
    return replace(controls, revision=controls.revision + 1, switchover=None)


def tag(controls: Controls, node: str, tags: Tags) -> Controls:
    """Conflict above TAGGED_NODES_MAX. Tags that say nothing are removed."""
    known = dict(controls.tags)
    if tags == Tags():
        known.pop(node, None)
    else:
        known[node] = tags
    if len(known) > TAGGED_NODES_MAX:
        raise Conflict(f"{TAGGED_NODES_MAX} nodes have tags already; remove some first")
    return replace(controls, revision=controls.revision + 1, tags=dict(sorted(known.items())))


def add_sentinel(controls: Controls, sentinels: Sequence[SentinelInfo], new: str) -> Controls:
    """`sentinels` are those that were asked just now, in their own words: what Redis has of them may be older than what it
    lost. Conflict as `_next_membership` says, or if `new` does
    not run: a member that is not there only raises the majority."""
    members, floor = _agreed(controls, sentinels)
    if new in members:
        raise Conflict(f"{new} is a member already")
    if all(info.id != new for info in sentinels):
        raise Conflict(f"{new} does not run: start it first, with all members and itself in --members")
    if len(members) >= SENTINELS_MAX:
        raise Conflict(f"{SENTINELS_MAX} sentinels are the limit")
    return _next_membership(controls, (*members, new), floor)


def remove_sentinel(controls: Controls, sentinels: Sequence[SentinelInfo], gone: str) -> Controls:
    """Conflict as `_agreed` says, or if fewer than three would remain."""
    members, floor = _agreed(controls, sentinels)
    if gone not in members:
        raise Conflict(f"{gone} is no member; members are {', '.join(members)}")
    rest = tuple(member for member in members if member != gone)
    if len(rest) < 3:
        raise Conflict(
            "three sentinels are the least that survive the loss of one: add another before you remove this one"
        )
    return _next_membership(controls, rest, floor)


def _next_membership(controls: Controls, members: tuple[str, ...], floor: int) -> Controls:
    version = controls.membership.version + 1
    membership = Membership(version=version, members=tuple(sorted(members)), floor=floor)
    return replace(controls, revision=controls.revision + 1, membership=membership)


def _agreed(controls: Controls, sentinels: Sequence[SentinelInfo]) -> tuple[tuple[str, ...], int]:
    """The present members and the floor for the next ones. Conflict if no majority of the present members has the present
    membership on disk: then the last change is not finished, and another one could elect two leaders."""
    version = controls.membership.version
    ahead = sorted(info.id for info in sentinels if info.controls_revision > controls.revision)
    if ahead:
        raise Conflict(f"{', '.join(ahead)} knows of a change that Redis has lost and is writing it back; try again")
    # At version 0 the members are what the sentinels were configured with; they must agree on it. A sentinel that waits
    # to be added names itself too, and is the only one that does.
    claims = [info for info in sentinels if info.members_version == version]
    if version:
        members = controls.membership.members
    else:
        named = sorted({tuple(sorted(info.members)) for info in claims}, key=len)
        members = next((one for one in named if _holders(claims, one) > len(one) // 2), ())
    holders = [info for info in claims if info.id in members and tuple(sorted(info.members)) == tuple(sorted(members))]
    if not members or len(holders) <= len(members) // 2:
        raise Conflict(
            f"no majority of the sentinels has membership version {version} on disk ({len(holders)} of {len(members)}): "
            "wait until the last change has reached them, or look at `ha-stress doctor`"
        )
    return members, max(info.voted_epoch for info in holders)


def _holders(claims: Sequence[SentinelInfo], members: tuple[str, ...]) -> int:
    return sum(info.id in members and tuple(sorted(info.members)) == members for info in claims)
