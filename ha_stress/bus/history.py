"""What happened: events and failover records."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ha_stress.base.errors import ProtocolError
from ha_stress.base.limits import EVENT_STREAM_MAX, FAILOVERS_KEPT_MAX
from ha_stress.bus.part import Part
from ha_stress.bus.records import event_of, to_json
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

    async def events(self, after_sequence: int = 0, count: int = 1000) -> list[Event]:
        """Up to `count` events with a sequence above `after_sequence`, oldest first; the newest `count` for 0.

        A Redis that lost its data counts from 1 again: a reader that is ahead of every event should begin at 0.
        """
        key = self.keys.events
        if after_sequence > 0:
            start = f"({after_sequence}-0"
            entries: Any = await self._link.call(lambda client: client.xrange(key, min=start, count=count), key)
        else:
            newest: Any = await self._link.call(lambda client: client.xrevrange(key, count=count), key)
            entries = list(reversed(newest))
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
