"""The master's eye on the members: info channel, events channel and the records behind both.

Hints only make it faster: the records are read on every `Resubscribed` and every `reread_s`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress

import trio

from ha_stress import log
from ha_stress.base.errors import ProtocolError, Unavailable
from ha_stress.base.limits import HINT_QUEUE_MAX
from ha_stress.bus.client import Hint, Resubscribed
from ha_stress.cluster.members import NodeInfo
from ha_stress.drivers.interface import NodeServices
from ha_stress.master.members import Change, Gone, Membership
from ha_stress.tasks.schedule import Holder
from ha_stress.wire.codec import decode

_log = log.get(__name__)

#: How often the silence of nodes is looked at; also the pace of tries while Redis is away.
_LOOK_S = 0.25


class Seen:
    """Which event was taken last: each counts once, also one that is published twice or read again from the stream.

    A Redis that lost its data counts from 1 again, without any connection breaking; then the time tells what is new.
    """

    def __init__(self) -> None:
        self._sequence = self._at_ms = 0

    def is_new(self, sequence: int, at_ms: int) -> bool:
        if sequence <= self._sequence and at_ms <= self._at_ms:
            return False
        self._sequence, self._at_ms = sequence, max(self._at_ms, at_ms)
        return True


class Watch:
    """Keeps a `Membership` true. `on_change` is called when planning may come out differently."""

    def __init__(self, node: NodeServices, on_change: Callable[[], None]) -> None:
        self._node = node
        self._on_change = on_change
        self._membership = Membership(node.holder.node, node.config.timing.info_expiry_s)
        self._seen = Seen()
        self._read_due = 0.0
        self._events_due = True
        self._foreign: set[str] = set()  # channels on which something was not understood
        #: The records have been read at least once.
        self.ready = False
        self._proof_at = float("inf")

    def members(self) -> tuple[NodeInfo, ...]:
        """This node and all other members."""
        return (self._node.info(), *self._membership.members())

    def doubtful(self, holders: Iterable[Holder]) -> frozenset[Holder]:
        """Those who may live although this master, new as it is, has not heard of them yet.

        After an outage of Redis all records have run out; that is no reason to take the shares of everybody.
        """
        if self._node.clock.now() >= self._proof_at:
            return frozenset()
        return frozenset(holder for holder in holders if not self._membership.known_gone(holder))

    async def run(self) -> None:
        keys = self._node.bus.keys
        async with self._node.bus.subscribe(keys.info_channel, keys.events_channel) as hints:
            while True:
                before = self._membership.version
                changes = await self._hear(hints)
                changes += await self._reread()
                self._tell(changes)
                if changes or self._membership.version != before:
                    self._on_change()

    async def _hear(self, hints: trio.MemoryReceiveChannel[Hint | Resubscribed]) -> list[Change]:
        """The next hint and those that wait behind it; that nothing comes for a while is no reason to wait longer."""
        changes: list[Change] = []
        with trio.move_on_after(_LOOK_S):
            changes += self._take(await hints.receive())
        with suppress(trio.WouldBlock):
            for _ in range(HINT_QUEUE_MAX):
                changes += self._take(hints.receive_nowait())
        return changes

    def _take(self, message: Hint | Resubscribed) -> list[Change]:
        keys = self._node.bus.keys
        match message:
            case Resubscribed():
                self._read_due = 0.0
                self._events_due = True
            case Hint(channel=channel, data=b"") if channel == keys.info_channel:  # somebody left
                self._read_due = 0.0
            case Hint(channel=channel, data=data):
                try:
                    if channel == keys.info_channel:
                        return self._membership.heard(decode(NodeInfo, data), self._node.clock.now())
                    return self._event(_fields(data), replayed=False)
                except ProtocolError as error:
                    # Once a channel: whoever publishes there what is not ours does so a thousand times.
                    say = _log.debug if channel in self._foreign else _log.warning
                    self._foreign.add(channel)
                    say("a message cannot be read", channel=channel, problem=str(error))
        return []

    async def _reread(self) -> list[Change]:
        now = self._node.clock.now()
        if now < self._read_due and not self._membership.overdue(now):
            return []
        try:
            infos = await self._node.bus.nodes()
            changes = self._membership.read(infos, self._node.clock.now())
            if self._node.may_act():
                changes += self._membership.expired(now)
            else:  # where the lease cannot be renewed, nobody can describe itself: a Redis that takes no writes is readable
                self._membership.deaf(now)
            if self._events_due:
                changes += await self._replay()
        except (Unavailable, ProtocolError) as error:
            _log.warning("the members cannot be read", problem=str(error))
            self._membership.deaf(self._node.clock.now())
            self._read_due = now + _LOOK_S
            return []
        self._read_due = now + self._node.config.timing.reread_s
        if not self.ready:  # whom it finds is not news
            self.ready = True
            self._proof_at = self._node.clock.now() + self._node.config.timing.info_expiry_s
            self._on_change()
            return [change for change in changes if isinstance(change, Gone)]
        return changes

    async def _replay(self) -> list[Change]:
        """What was declared while nobody listened here."""
        events = await self._node.bus.events()
        self._events_due = False
        return [
            change
            for event in events
            for change in self._event(
                {
                    "sequence": event.sequence,
                    "name": event.name,
                    "subject": event.subject,
                    "cause": event.cause,
                    "detail": event.detail,
                    "at_ms": event.at_ms,
                },
                replayed=True,
            )
        ]

    def _event(self, fields: dict[str, object], *, replayed: bool) -> list[Change]:
        """`+odown` about a node: it is gone at once. Each event counts once (a publication may come twice)."""
        sequence, detail, at_ms = fields.get("sequence"), fields.get("detail"), fields.get("at_ms")
        if not isinstance(sequence, int) or not isinstance(at_ms, int) or not self._seen.is_new(sequence, at_ms):
            return []
        if fields.get("name") != "+odown" or not isinstance(detail, dict):
            return []
        if fields.get("cause") not in _GONE_CAUSES:
            return []
        holder = Holder(str(fields.get("subject")), str(detail.get("incarnation", "")))
        return self._membership.declared_down(holder, at_ms / 1000 if replayed else None)

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            name, cause = ("-node", change.cause) if isinstance(change, Gone) else ("+node", "it registered")
            detail: dict[str, object] = {"incarnation": change.info.incarnation}
            self._node.emit(name, subject=change.info.id, cause=cause, detail=detail)


#: Causes of +odown that mean that the process is gone. A master that leaves or does not act is relieved, not dead.
_GONE_CAUSES = ("crash", "silence", "restarted")


def _fields(data: bytes) -> dict[str, object]:
    try:
        fields = json.loads(data)
    except ValueError:
        raise ProtocolError("an event is not JSON") from None
    if not isinstance(fields, dict):
        raise ProtocolError("an event is not a JSON object")
    return fields
