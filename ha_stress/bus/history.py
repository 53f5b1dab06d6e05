"""What happened: events and failover records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from ha_stress.base.errors import ProtocolError
from ha_stress.base.limits import EVENT_STREAM_MAX, FAILOVERS_KEPT_MAX
from ha_stress.bus.part import Part
from ha_stress.bus.records import event_of, number, text, to_json
from ha_stress.cluster.events import Event


class HistoryPart(Part):
    async def add_event(self, event: Event) -> Event:
        """Append an event; returns it with its sequence and the server's time. Not repeated by itself, so as not to say
        things twice."""
        args = (
            event.epoch,
            event.name,
            event.source,
            event.subject,
            event.cause,
            to_json(event.detail, f"the detail of {event.name}"),
            self.keys.events_channel,
            EVENT_STREAM_MAX,
        )
        keys = (self.keys.events, self.keys.event_sequence)
        sequence, at_ms = await self._link.run("add_event", keys, args, again=False)
        return dataclasses.replace(event, sequence=int(sequence), at_ms=int(at_ms))

    async def last_sequence(self) -> int:
        """That of the newest event, readable or not; 0 if there is none."""
        key = self.keys.events
        newest: Any = await self._link.call(lambda client: client.xrevrange(key, count=1), key)
        return number(text(newest[0][0]).partition("-")[0], "the id of an event") if newest else 0

    async def events(self, after_sequence: int = 0, count: int = 1000) -> list[Event]:
        """Up to `count` events with a sequence above `after_sequence`, oldest first; the newest `count` for 0.

        A Redis that lost its data counts from 1 again: a reader that is ahead of every event should begin at 0.
        """
        if after_sequence > 0:
            return await self.events_after(after_sequence, count)
        key = self.keys.events
        newest: Any = await self._link.call(lambda client: client.xrevrange(key, count=count), key)
        return self._readable_events(reversed(newest))

    async def events_after(self, sequence: int, count: int) -> list[Event]:
        """Up to `count` events with a higher sequence, oldest first; for 0 those that the stream begins with."""
        key, start = self.keys.events, f"({sequence}-0"
        entries: Any = await self._link.call(lambda client: client.xrange(key, min=start, count=count), key)
        return self._readable_events(entries)

    def _readable_events(self, entries: Iterable[Any]) -> list[Event]:
        found = []
        for _, fields in entries:
            try:
                found.append(event_of(fields))
            except ProtocolError as error:
                self._undecodable.skip("event stream", error)
        return found

    async def save_failover(self, epoch: int, record: dict[str, Any]) -> None:
        """Keep (or replace) the record of the failover that led to `epoch`; the newest FAILOVERS_KEPT_MAX are kept."""
        args = (epoch, to_json(record, "the failover record"), FAILOVERS_KEPT_MAX)
        await self._link.run("save_failover", (self.keys.failovers,), args)

    async def failovers(self) -> dict[int, dict[str, Any]]:
        """All kept failover records by epoch, oldest first."""
        key = self.keys.failovers
        stored: Any = await self._link.call(lambda client: client.hgetall(key), key)
        found: dict[int, dict[str, Any]] = {}
        for epoch, data in stored.items():
            try:
                record = json.loads(data)
                if not isinstance(record, dict):
                    raise ValueError("not an object")
                found[int(epoch)] = record
            except ValueError:
                self._undecodable.skip("failovers", ProtocolError(f"failover record {epoch!r} is not a JSON object"))
        return dict(sorted(found.items()))
