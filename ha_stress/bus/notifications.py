"""Who notifies of an event: the sentinels are one consumer group on the event stream, so each event has one of them.

    stream --take--> in hand of one sentinel --done--> gone
                       | held: it says that it still works on it
                       +-- not held for `idle_s`: another sentinel takes it over

So an event is notified at least once, whichever sentinel dies, and normally exactly once. What the group keeps is in
Redis; sentinels keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import redis.exceptions as foreign

from ha_stress.base.errors import ProtocolError
from ha_stress.bus.link import milliseconds
from ha_stress.bus.part import Part
from ha_stress.bus.records import event_of
from ha_stress.cluster.events import Event

GROUP = "notify"
#: A group that does not exist yet begins with what was said this recently. Not with everything: the first sentinel that
#: is given a hook would tell the history of a week. Not with what comes from now on: a Redis that lost its data got its
#: first new events (who repaired the record, who is master) before a sentinel noticed that the group was gone.
RECENT_S = 60.0
#: And with this many at most.
RECENT_MAX = 1_000

Entries = Sequence[tuple[bytes | None, dict[bytes, bytes] | None]]


class NotificationsPart(Part):
    async def take_events(self, consumer: str, count: int) -> list[Event]:
        """Up to `count` events that nobody has taken yet, oldest first; they are `consumer`'s now. Makes the group if there
        is none, also after Redis lost its data."""
        assert count > 0, "for Redis 0 means all"
        stream = {self.keys.events: ">"}
        # Not repeated by itself: what a lost answer had taken is taken over later, like that of a dead sentinel.
        answer = await self._in_group(lambda client: client.xreadgroup(GROUP, consumer, stream, count=count))
        return await self._readable(answer[0][1] if answer else [])

    async def take_over_events(self, consumer: str, idle_s: float, count: int) -> list[Event]:
        """Up to `count` events that somebody took, and has neither held nor done for `idle_s`; now `consumer`'s."""
        assert count > 0
        idle_ms = milliseconds(idle_s, "the time after which an event is taken over")

        def claim(client: Any) -> Any:
            return client.xautoclaim(self.keys.events, GROUP, consumer, idle_ms, start_id="0-0", count=count)

        answer = await self._in_group(claim)
        return await self._readable(answer[1])

    async def hold_events(self, consumer: str, sequences: Collection[int]) -> None:
        """Say that `consumer` still works on these."""
        ids = [f"{sequence}-0" for sequence in sequences]

        def hold(client: Any) -> Any:
            return client.xclaim(self.keys.events, GROUP, consumer, min_idle_time=0, message_ids=ids, justid=True)

        if ids:
            await self._in_group(hold)

    async def done_with_events(self, sequences: Collection[int]) -> None:
        """They were notified of, or given up: nobody is to take them again."""
        await self._acknowledge([f"{sequence}-0" for sequence in sequences])

    async def _acknowledge(self, ids: Sequence[str | bytes]) -> None:
        if ids:
            await self._link.call(lambda client: client.xack(self.keys.events, GROUP, *ids))

    async def _readable(self, entries: Entries) -> list[Event]:
        """The events of these entries. One that cannot be read is done with, or it would come back for ever."""
        found = []
        bad = []
        for entry_id, fields in entries:
            if entry_id is None:  # it has left the capped stream since it was taken
                continue
            try:
                found.append(event_of(fields or {}))
            except ProtocolError as error:
                self._undecodable.skip("event stream", error)
                bad.append(entry_id)
        await self._acknowledge(bad)
        return found

    async def _in_group(self, work: Callable[[Any], Any]) -> Any:
        """Run `work(client)`, in a new group if there is none."""

        def attempt(client: Any) -> Any:
            try:
                return work(client)
            except foreign.ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                self._make_group(client)
                return work(client)

        return await self._link.call(attempt, again=False)

    def _make_group(self, client: Any) -> None:
        seconds, microseconds = client.time()
        oldest_ms = int(seconds * 1000 + microseconds / 1000 - RECENT_S * 1000)
        # What is appended between this look and the creation comes after `begin`, so it is not missed.
        newest = client.xrevrange(self.keys.events, count=RECENT_MAX + 1)
        begin: str | bytes = newest[-1][0] if len(newest) > RECENT_MAX else "0"
        for entry_id, fields in newest:
            at_ms = fields.get(b"at_ms", b"0")
            if at_ms.isdigit() and int(at_ms) < oldest_ms:
                begin = entry_id
                break
        try:
            client.xgroup_create(self.keys.events, GROUP, begin, mkstream=True)
        except foreign.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another sentinel was faster
                raise
