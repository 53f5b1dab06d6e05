"""How an operator's wish becomes the controls record: checked against what lives, compared and set, told as an event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ha_stress import log
from ha_stress.api.port import ApiNode
from ha_stress.base.clock import SystemClock
from ha_stress.base.errors import BusUnavailable, Conflict, NotFound, ProtocolError, Unavailable
from ha_stress.cluster.controls import Controls, Tags
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import Mastership, newer
from ha_stress.cluster.members import NodeInfo, Role, SentinelInfo
from ha_stress.doctor.ask import ask_sentinels
from ha_stress.doctor.finding import listed

_log = log.get("api")

#: Operators are people: two at the same instant are rare, six are a script that went wrong.
ATTEMPTS_MAX: Final = 6
_UNTAGGED: Final = Tags()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The event of a change; its `cause` is in the operator's words where there are some."""

    name: str
    subject: str = ""
    cause: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


async def change(node: ApiNode, make: Callable[[Controls], Controls], told: Callable[[Controls], Told]) -> Controls:
    """Read, change, compare and set, until it is written; then append the event. What would change nothing is not written.

    `make` raises Conflict for what cannot be. Unavailable if others were faster each time.
    """
    stands = await _stands(node)
    # In their own words too: what loses a change loses the descriptions that knew of it.
    known = [*await node.bus.sentinels(), *await asked(node)]
    _check_nothing_is_lost(stands, known, node.config.sentinels)
    for _ in range(ATTEMPTS_MAX):
        wanted = make(stands)
        if wanted.revision == stands.revision:
            return stands
        written, stands = await node.bus.set_controls(stands.revision, wanted)
        if written:
            await _tell(node, told(stands), stands)
            return stands
    raise Unavailable("others change the same record all the time; try again")


def _check_nothing_is_lost(stands: Controls, sentinels: Sequence[SentinelInfo], expected: int) -> None:
    """Unavailable while Redis has less than the sentinels know. A change that was made to less would win over what they
    know as soon as its revision is the higher one: a pause, or a membership, would be forgotten."""
    if expected and not sentinels:
        raise Unavailable("no sentinel has said yet what it knows of earlier changes; try again when one of them runs")
    if max((info.controls_revision for info in sentinels), default=0) > stands.revision:
        raise Unavailable("Redis has lost the newest controls; the sentinels are writing them back, so try again")


async def _stands(node: ApiNode) -> Controls:
    try:
        return await node.bus.controls()
    except ProtocolError as error:
        key = node.bus.keys.controls
        raise Conflict(f"{error}; delete the key {key}: a sentinel writes the last good record back") from None


async def _tell(node: ApiNode, told: Told, controls: Controls) -> None:
    event = Event(
        name=told.name,
        source=node.config.id,
        epoch=node.record().epoch,
        subject=told.subject,
        cause=told.cause,
        detail={"revision": controls.revision, **told.detail},
    )
    try:
        await node.bus.add_event(event)
    except (BusUnavailable, ProtocolError) as error:
        # The change stands, and saying it failed would be wrong.
        _log.warning("a change of the controls was not told as an event", name=told.name, problem=str(error))


async def newest_record(node: ApiNode) -> Mastership:
    return newer(await node.bus.mastership(), node.record())


async def asked(node: ApiNode) -> list[SentinelInfo]:
    """The sentinels that answer now, in their own words. A membership follows from what they have on disk at this moment;
    their descriptions in Redis may be older than a change that Redis has lost."""
    described = {info.id: info for info in await node.bus.sentinels()}
    answers = await ask_sentinels(list(described.values()), node.config.secret)
    return [
        replace(
            described[answer.id],
            members=answer.seen.members,
            members_version=answer.seen.members_version,
            voted_epoch=answer.seen.voted_epoch,
            controls_revision=answer.seen.controls_revision,
        )
        for answer in answers
        if answer.seen is not None
    ]


def living(node: ApiNode, sentinels: Sequence[SentinelInfo]) -> list[SentinelInfo]:
    """Those that have described themselves lately, by their own clocks."""
    oldest = SystemClock().wall() - node.config.timing.info_expiry_s
    return [info for info in sentinels if info.sent_at > oldest]


def check_sentinels(sentinels: Sequence[SentinelInfo], controls: Controls) -> None:
    """Conflict if they are too few to elect anybody: then a wish would only stay and be forgotten."""
    if not sentinels:
        raise Conflict("no sentinel lives, so nobody could carry out a switchover; start them first")
    claims = [info.members for info in sentinels if info.members]
    members = controls.membership.members or max(claims, key=claims.count, default=())
    alive = [info.id for info in sentinels if info.id in members]
    majority = len(members) // 2 + 1
    if len(alive) < majority:
        raise Conflict(
            f"only {len(alive)} of {len(members)} sentinels live, and a switchover takes {majority}: start the others first"
        )


def check_target(to: str, nodes: Sequence[NodeInfo], record: Mastership, controls: Controls) -> None:
    """NotFound or Conflict if `to` cannot take over; with "" if nobody can."""
    others = {info.id: why_unfit(info, controls) for info in nodes if info.id != record.node}
    if not to:
        if not others:
            raise Conflict(f"{record.node} is the only living node: nobody could take over")
        if all(others.values()):
            raise Conflict("nobody could take over: " + "; ".join(f"{name} {why}" for name, why in others.items()))
        return
    if to != record.node and to not in others:
        raise NotFound(f"no living node is called {to}; there are {_named(info.id for info in nodes)}")
    if others.get(to):
        raise Conflict(f"{to} cannot take over: it {others[to]}")


async def check_seen_up(to: str, node: ApiNode) -> None:
    """Conflict if a sentinel holds `to` to be down: the registry goes on naming who has died a moment ago."""
    answers = await ask_sentinels(await node.bus.sentinels(), node.config.secret)
    causes = {
        answer.id: seen.cause
        for answer in answers
        if answer.seen is not None and not answer.seen.tilt
        for seen in answer.seen.nodes
        if seen.node == to and seen.down
    }
    if causes:
        why = ", ".join(sorted(set(causes.values())))
        raise Conflict(f"{to} cannot take over: it is down ({why}) for {listed(causes)}")


def why_unfit(info: NodeInfo, controls: Controls) -> str:
    """Why this node cannot be master, as the end of a sentence; "" if it can."""
    tags = controls.tags.get(info.id, _UNTAGGED)
    if tags.priority == 0:
        return f"has priority 0 by its tag (`ha-stress tag {info.id} --no-priority` takes it away)"
    if info.priority == 0 and tags.priority is None:
        return f"is configured with priority 0 (`ha-stress tag {info.id} --priority 100` overrides it)"
    if tags.draining:
        return f"is draining (`ha-stress tag {info.id} --no-draining` ends it)"
    if info.draining:
        return "is draining"
    if info.leaving or info.role is Role.LEAVING:
        return "is leaving"
    return "" if info.healthy else "reports itself unhealthy"


def check_tagged(node_id: str, nodes: Sequence[NodeInfo], controls: Controls) -> None:
    """NotFound unless the node lives or has tags already: a typing error must not tag nobody."""
    if node_id not in controls.tags and all(info.id != node_id for info in nodes):
        raise NotFound(f"no living node is called {node_id}; there are {_named(info.id for info in nodes)}")


def _named(ids: Any) -> str:
    return ", ".join(sorted(ids)) or "none"
