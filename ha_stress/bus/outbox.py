"""Events on their way to Redis: said without waiting, sent in order, bounded, and what is dropped is counted and told."""

from __future__ import annotations

from collections import Counter, deque

import trio

from ha_stress import log
from ha_stress.base.errors import BusUnavailable, ProtocolError
from ha_stress.base.limits import EVENTS_KEPT_MAX
from ha_stress.bus.client import Bus
from ha_stress.cluster.events import MEANING, Event

#: Redis is away: how long until the oldest event is tried again.
RETRY_S = 0.25


class Outbox:
    """The queue between a loop that must not wait and a Redis that may be away."""

    def __init__(self, bus: Bus, source: str) -> None:
        self.said: Counter[str] = Counter()  # by name, since the start
        self.dropped = 0  # since the start
        self._bus = bus
        self._source = source
        self._queue: deque[Event] = deque()
        self._some = trio.Event()
        self._lost = 0
        self._log = log.get("events").bind(source=source)

    @property
    def waiting(self) -> int:
        """How many events Redis does not have yet."""
        return len(self._queue)

    def say(self, event: Event) -> None:
        """Log the event and queue it for the stream. Never blocks."""
        assert event.name in MEANING, f"{event.name} has no meaning in cluster.events"
        self._log.info(event.name, **{**_flat(event), "epoch": event.epoch})
        self.said[event.name] += 1
        if len(self._queue) >= EVENTS_KEPT_MAX:
            self._queue.popleft()
            self._note_lost()
        self._queue.append(event)
        self._some.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            while self._queue:
                await self._send_oldest()

    async def flush(self, timeout_s: float) -> None:
        """Send what is left, for at most this long; for the end of a process, after `run` was cancelled."""
        with trio.move_on_after(timeout_s):
            while self._queue:
                await self._send_oldest()

    async def _send_oldest(self) -> None:
        event = self._queue[0]
        try:
            await self._bus.add_event(event)
        except BusUnavailable:
            await trio.sleep(RETRY_S)
            return
        except ProtocolError as error:  # it can be said neither now nor later, and others wait behind it
            self._log.warning("an event cannot be written", of=event.name, problem=str(error))
            self._note_lost()
        else:
            self._tell_lost(event.epoch)
        if self._queue and self._queue[0] is event:  # else it was dropped while it was being sent
            self._queue.popleft()

    def _note_lost(self) -> None:
        self._lost += 1
        self.dropped += 1

    def _tell_lost(self, epoch: int) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self.say(Event(name="+events-lost", source=self._source, epoch=epoch, detail={"lost": lost}))


def _flat(event: Event) -> dict[str, object]:
    """The small values, for a log line; tables stay in the stream."""
    values = {**event.detail, "subject": event.subject, "cause": event.cause}
    named = {
        "of" if key == "event" else key: value for key, value in values.items()
    }  # the name of a log line's own text
    return {key: value for key, value in named.items() if value != "" and not isinstance(value, list | dict)}
