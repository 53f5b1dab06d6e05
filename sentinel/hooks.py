"""Notification hooks: each event that somebody wants to hear of is told by one sentinel that lives, at least once.

    event stream --consumer group--> in hand --4 at once--> command and webhook, each with its tries --> done with
    what Redis cannot carry (it is away) --------^

A sentinel that dies leaves what it had in hand in the group's list of pending entries; another one takes it over. What
cannot be delivered is given up: counted, logged, and said as `+hook-failed`, of which nobody is notified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from ha_stress import log
from ha_stress.base.clock import Clock
from ha_stress.base.config import SentinelConfig
from ha_stress.base.errors import BusUnavailable, ConfigError, ProtocolError
from ha_stress.base.limits import NOTIFICATIONS_AT_ONCE_MAX, NOTIFICATIONS_TAKEN_MAX, NOTIFICATIONS_WAITING_MAX
from ha_stress.bus.client import Bus
from ha_stress.cluster.events import MEANING, Event
from sentinel.notify import Command, NotDelivered, Notice, Receiver, open_webhook

#: Said by each sentinel on its own, past the stream, because Redis is what they are about.
LOCAL = frozenset({"+bus-down", "-bus-down"})
#: Never notified of when they come from the stream: the local ones were already, and a failed hook would notify of itself.
NOT_FROM_STREAM = LOCAL | {"+hook-failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookTiming:
    """Deadlines and patience. With these a notification is given up after 15 s of pauses and 5 tries."""

    command_timeout_s: float = 10.0
    webhook_timeout_s: float = 5.0
    tries: int = 5
    #: After the first try; doubled after each further one.
    pause_s: float = 1.0
    #: What a sentinel has in hand and has not said so for this long is another's.
    take_over_s: float = 10.0
    #: Redis did not answer, or nothing was hinted at: when to look again.
    look_again_s: float = 2.0


def wanted(name: str, patterns: Iterable[str]) -> bool:
    """Whether an event of this name is one of `patterns`: names, or beginnings that end with `*`."""
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)


class Hooks:
    """Made by `hooks_of`. `say` takes the events that these hooks cause."""

    def __init__(
        self, config: SentinelConfig, bus: Bus, clock: Clock, say: Callable[[Event], None], timing: HookTiming
    ) -> None:
        unknown = [p for p in config.notify_events if not any(wanted(name, (p,)) for name in MEANING)]
        if unknown:
            raise ConfigError(f"notify_events names {', '.join(map(repr, unknown))}, which no event is called")
        self.delivered: Counter[str] = Counter()  # by kind of receiver, since the start
        self.failed: Counter[str] = Counter()  # given up after all tries
        self.retries: Counter[str] = Counter()
        self.dropped = 0  # local ones for which there was no room
        self._config = config
        self._bus = bus
        self._clock = clock
        self._say = say
        self._timing = timing
        self._receivers: Sequence[Receiver] = ()
        self._in_hand: dict[int, Event] = {}  # by sequence, until the group knows that they are done with
        self._finished: list[Event] = []
        self._some_finished = trio.Event()
        self._room = trio.Event()
        self._look_for_abandoned_at = 0.0
        self._to_do, self._waiting = trio.open_memory_channel[Event](NOTIFICATIONS_WAITING_MAX)
        self._bus_answers = True
        self._log = log.get("hooks").bind(sentinel=config.id)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of receivers."""
        config = self._config
        return tuple(
            kind for kind, set_up in (("command", config.notify_command), ("webhook", config.notify_url)) if set_up
        )

    @property
    def waiting(self) -> int:
        """Events that were taken and whose notification has not begun."""
        return self._waiting.statistics().current_buffer_used

    def _wants(self, event: Event) -> bool:
        """By its name; what was asked for (a switchover, a node that is stopped) alarms nobody."""
        asked_for = event.name in ("+odown", "-odown") and event.cause in ("switchover", "leaving")
        return wanted(event.name, self._config.notify_events) and not asked_for

    def offer(self, event: Event) -> None:
        """Notify of a local event, if it is wanted. Never blocks."""
        if not self._wants(event):
            return
        try:
            self._to_do.send_nowait(event)
        except trio.WouldBlock:
            self.dropped += 1
            self._log.warning("too many notifications wait; one is dropped", event_name=event.name)

    async def run(self) -> None:
        """Notify until cancelled."""
        async with self._open_receivers() as self._receivers, trio.open_nursery() as nursery:
            self._log.info("notifying", receivers=[r.where for r in self._receivers])
            for _ in range(NOTIFICATIONS_AT_ONCE_MAX):
                nursery.start_soon(self._work, name="hooks.work")
            nursery.start_soon(self._keep_in_hand, name="hooks.hold")
            await self._follow_stream()

    @asynccontextmanager
    async def _open_receivers(self) -> AsyncIterator[Sequence[Receiver]]:
        config, timing = self._config, self._timing
        receivers: list[Receiver] = []
        async with AsyncExitStack() as stack:
            if config.notify_command:
                receivers.append(Command(config.notify_command, timeout_s=timing.command_timeout_s))
            if config.notify_url:
                webhook = open_webhook(config.notify_url, config.notify_headers, timeout_s=timing.webhook_timeout_s)
                receivers.append(await stack.enter_async_context(webhook))
            yield receivers

    # --- the stream ---

    async def _follow_stream(self) -> None:
        """Take events on each hint, and in time, as long as there is room."""
        async with self._bus.subscribe(self._bus.keys.events_channel) as hints:
            while True:
                while len(self._in_hand) >= NOTIFICATIONS_TAKEN_MAX:
                    self._room = trio.Event()
                    await self._room.wait()
                if await self._try_bus(self._take):
                    continue  # there may be more
                with trio.move_on_after(self._timing.look_again_s):
                    await hints.receive()
                    # One look answers all hints that are there by now.
                    for _ in range(hints.statistics().current_buffer_used):
                        hints.receive_nowait()

    async def _take(self) -> bool:
        """Take what there is room for; whether there was anything."""
        me, now = self._config.id, self._clock.now()
        room = NOTIFICATIONS_TAKEN_MAX - len(self._in_hand)
        events: list[Event] = []
        if now >= self._look_for_abandoned_at:
            self._look_for_abandoned_at = now + self._timing.take_over_s / 2
            abandoned = await self._bus.take_over_events(me, self._timing.take_over_s, room)
            events = [event for event in abandoned if self._in_hand.get(event.sequence) != event]
            if events:
                self._log.info("took over notifications", count=len(events))
        if len(events) < room:
            events += await self._bus.take_events(me, room - len(events))
        unwanted = []
        for event in events:
            if event.name in NOT_FROM_STREAM or not self._wants(event):
                unwanted.append(event.sequence)
                continue
            try:
                self._to_do.send_nowait(event)
            except trio.WouldBlock:  # local ones have filled it; not held, this one is soon anybody's
                continue
            self._in_hand[event.sequence] = event
        await self._bus.done_with_events(unwanted)
        return bool(events)

    async def _keep_in_hand(self) -> None:
        """Tell the group what is done with, and what is still worked on."""
        while True:
            with trio.move_on_after(self._timing.take_over_s / 4):
                await self._some_finished.wait()
            self._some_finished = trio.Event()
            if not (self._finished or self._in_hand):
                continue  # nothing is asked of Redis, so nothing is learnt of it either
            if not await self._try_bus(self._report):
                await trio.sleep(self._timing.take_over_s / 8)
                self._some_finished.set()

    async def _report(self) -> bool:
        finished = list(self._finished)
        # After a loss of Redis' data another event may have got the number of one that was in hand.
        done = [event.sequence for event in finished if self._in_hand.get(event.sequence) is event]
        await self._bus.done_with_events(done)
        del self._finished[: len(finished)]
        for sequence in done:
            del self._in_hand[sequence]
        self._room.set()
        await self._bus.hold_events(self._config.id, self._in_hand)
        return True

    async def _try_bus(self, call: Callable[[], object]) -> bool:
        """Whether `call` did something; False also if Redis does not answer, which is told once."""
        try:
            answer: bool = await call()  # type: ignore[misc]
        except (BusUnavailable, ProtocolError) as error:
            if self._bus_answers:
                self._log.warning("the events to notify of cannot be read", problem=str(error))
            self._bus_answers = False
            return False
        self._bus_answers = True
        return answer

    # --- one event ---

    async def _work(self) -> None:
        while True:
            event = await self._waiting.receive()
            notice = Notice(event=event, cluster=self._config.cluster, sentinel=self._config.id)
            async with trio.open_nursery() as nursery:
                for receiver in self._receivers:
                    nursery.start_soon(self._deliver, receiver, notice)
            if event.sequence:
                self._finished.append(event)
                self._some_finished.set()

    async def _deliver(self, receiver: Receiver, notice: Notice) -> None:
        """Try until it is taken, or refused for good, or the tries are used up."""
        pause_s = self._timing.pause_s
        for number in range(1, self._timing.tries + 1):
            try:
                await receiver.deliver(notice)
            except NotDelivered as error:
                problem, again = str(error), error.again
            except Exception as error:  # noqa: BLE001  whatever a receiver provokes must not cost a vote
                self._log.exception("a notification failed in an unforeseen way", hook=receiver.name)
                problem, again = repr(error), False
            else:
                self.delivered[receiver.name] += 1
                return
            self._log.debug("a notification was not taken", hook=receiver.name, attempt=number, problem=problem)
            if number == self._timing.tries or not again:
                self._give_up(receiver, notice.event, number, problem)
                return
            self.retries[receiver.name] += 1
            await trio.sleep(pause_s)
            pause_s *= 2

    def _give_up(self, receiver: Receiver, event: Event, tries: int, problem: str) -> None:
        self.failed[receiver.name] += 1
        detail = {"where": receiver.where, "of": event.name, "sequence": event.sequence, "tries": tries}
        self._say(
            Event(
                name="+hook-failed",
                source=self._config.id,
                epoch=event.epoch,
                subject=receiver.name,
                cause=problem,
                detail=detail,
            )
        )


def hooks_of(
    config: SentinelConfig, bus: Bus, clock: Clock, say: Callable[[Event], None], timing: HookTiming | None = None
) -> Hooks | None:
    """The hooks of this sentinel; None if it has none, and then they cost nothing. ConfigError for an unknown event."""
    if not (config.notify_command or config.notify_url):
        return None
    return Hooks(config, bus, clock, say, timing or HookTiming())
