"""Events as server-sent events.

Pub/sub may lose any message, so a message is only a hint here as well: the stream is read from the last sequence
that was sent, whenever a hint says so and every few seconds without one. Nothing is kept per listener but that number.
"""

from __future__ import annotations

import json

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ha_stress.api.views import event_view
from ha_stress.base.errors import BusUnavailable, ProtocolError, Unavailable
from ha_stress.bus.client import Bus
from ha_stress.cluster.events import Event

#: Without a hint the stream is read this often, and a comment keeps proxies from closing the connection.
REREAD_S = 5.0
#: A client that does not read for this long is gone.
SEND_TIMEOUT_S = 10.0
_BATCH = 500


class StreamSlots:
    """A bound on how many listeners there may be at once; each costs a subscription."""

    def __init__(self, count: int) -> None:
        self.limit = count
        self.used = 0
        #: One event wakes all listeners; they read one after the other, as the bus has other things to do.
        self.reading = trio.CapacityLimiter(1)

    def take(self) -> StreamSlots:
        """Raise Unavailable if all are taken. The slot is occupied while the stream runs."""
        if self.used >= self.limit:
            raise Unavailable(f"{self.limit} event streams are open already; close one, or read /events")
        return self


class EventStream(Response):
    """An ASGI response of its own: it needs a nursery around the subscription and the disconnect."""

    media_type = "text/event-stream"

    def __init__(self, bus: Bus, slots: StreamSlots, after: int | None) -> None:
        self.status_code = 200
        self.background = None
        self.bus = bus
        self.slots = slots
        self.after = after
        self.body = b""
        self.init_headers({"cache-control": "no-store", "content-type": "text/event-stream; charset=utf-8"})
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.slots.used += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_disconnect, receive, nursery.cancel_scope)
                await self._follow(send)
                nursery.cancel_scope.cancel()
        finally:
            self.slots.used -= 1

    @staticmethod
    async def _until_disconnect(receive: Receive, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _follow(self, send: Send) -> None:
        async with self.bus.subscribe(self.bus.keys.events_channel) as hints:
            position: int | None = self.after
            while True:
                try:
                    position = await self._replay(send, await self._place(position))
                except (BusUnavailable, ProtocolError) as error:
                    await self._send(send, f": {str(error).splitlines()[0]}\n\n")
                except trio.TooSlowError:
                    return
                with trio.move_on_after(REREAD_S) as waited:
                    await hints.receive()
                    while True:  # one read answers every hint that is waiting
                        try:
                            hints.receive_nowait()
                        except trio.WouldBlock:
                            break
                if waited.cancelled_caught:
                    await self._send(send, ": still here\n\n")

    async def _place(self, position: int | None) -> int:
        """Where to read on: from now on if nothing was asked for; from the beginning if the stream ends before
        `position`, as it does after a Redis has lost its data and counts from 1 again."""
        async with self.slots.reading:
            end = await self.bus.last_sequence()
        if position is None:
            return end
        return position if position <= end else 0

    async def _replay(self, send: Send, position: int) -> int:
        """Send everything after `position`; the new position."""
        while True:
            events = [event for event in await self._events(position, _BATCH) if event.sequence > position]
            for event in events:
                payload = json.dumps(event_view(event).model_dump(), separators=(",", ":"))
                await self._send(send, f"id: {event.sequence}\nevent: {event.name}\ndata: {payload}\n\n")
                position = event.sequence
            if len(events) < _BATCH:
                return position

    async def _events(self, after: int, count: int) -> list[Event]:
        async with self.slots.reading:
            return await self.bus.events_after(after, count)

    @staticmethod
    async def _send(send: Send, text: str) -> None:
        with trio.fail_after(SEND_TIMEOUT_S):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
