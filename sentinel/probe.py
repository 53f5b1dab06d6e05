"""Persistent connections to nodes: dialled, pinged, dialled again. Reports what happened; judges nothing.

After a broken connection the first dials come close together (`crash_dials` of them span `crash_confirm_s`), so that
refusals become evidence within tens of milliseconds; later ones come once a ping period, with jitter.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from heapq import heappop, heappush
from itertools import count

import trio

from ha_stress.base.config import Timing
from ha_stress.base.errors import MeshUnavailable
from ha_stress.mesh.exchange import Exchange, Link
from ha_stress.wire.codec import encode
from ha_stress.wire.messages import Message, Ping, Pong
from sentinel import effects as fx

Address = tuple[str, int]
#: Fast dials beyond `crash_dials`: while a process is being torn down, its port may still take connections and then drop
#: them, which is no refusal.
SPARE_DIALS = 5
#: After such a dial: measured, the port is gone 2 to 12 ms after the connections are.
WASTED_DIAL_PAUSE_S = 0.005
#: Dials without hurry at the same time: each takes a millisecond or two of processor and must end within its timeout.
DIALS_MAX = 16
#: Pings that are due within this time are sent together.
PING_SLICE_S = 0.01


class Dialler:
    """When to dial next. Fast right after a loss, patient afterwards."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._fast_left = 0

    @property
    def hurries(self) -> bool:
        """Whether the next dial may be evidence of a crash."""
        return self._fast_left > 1

    def connection_broke(self) -> None:
        self._fast_left = self._timing.crash_dials + SPARE_DIALS

    def pause_s(self, *, refused: bool) -> float:
        """How long to wait before the next dial, after one that was refused or failed otherwise."""
        if self._fast_left > 1:
            self._fast_left -= 1
            if not refused:
                return WASTED_DIAL_PAUSE_S
            # One millisecond more than the even share, so that the span is never a rounding error too short.
            return self._timing.crash_confirm_s / max(1, self._timing.crash_dials - 1) + 0.001
        return self._timing.ping_period_s * (0.75 + 0.5 * random.random())


class NodeProbe:
    """Watches one node: connect, have it pinged, report pongs, losses and failed dials."""

    def __init__(
        self,
        node: str,
        address: Address,
        *,
        secret: str,
        timing: Timing,
        lines: Lines,
        feed: Callable[[fx.Happening], None],
    ) -> None:
        self._address = address
        self._moved = trio.Event()
        self.scope = trio.CancelScope()
        self._node = node
        self._secret = secret
        self._timing = timing
        self._lines = lines
        self._feed = feed
        self._dialler = Dialler(timing)

    async def run(self) -> None:
        """Until `scope` is cancelled."""
        with self.scope:
            while True:
                self._moved = trio.Event()
                failure = await self._converse()
                if failure is not None:
                    with trio.move_on_after(self._dialler.pause_s(refused=failure.refused)):
                        await self._moved.wait()

    def move_to(self, address: Address) -> None:
        """The newest known one: a restarted node has another port. It is dialled at once, unless it is connected."""
        if address != self._address:
            self._address = address
            self._moved.set()

    async def _converse(self) -> MeshUnavailable | None:
        """One connection from dial to loss; or why there was none."""
        try:
            link = await self._dial()
        except MeshUnavailable as error:
            self._feed(fx.DialFailed(self._node, error.refused))
            return error
        self._feed(fx.NodeConnected(self._node))
        self._lines.pinger.follow(link)
        try:
            await link.ended.wait()
        finally:
            link.close()
            self._dialler.connection_broke()
            self._feed(fx.NodeConnectionLost(self._node))
        return None

    async def _dial(self) -> Link:
        """Evidence of a crash is sought at once. Other dials wait for their turn: a thousand at a time would each take so
        long that none succeeds."""
        async with AsyncExitStack() as stack:
            if not self._dialler.hurries:
                await stack.enter_async_context(self._lines.turns)
            return await self._lines.exchange.dial(
                *self._address,
                self._secret,
                timeout_s=max(self._timing.ping_period_s, 0.2),
                hear=self._hear,
            )

    def _hear(self, message: Message) -> None:
        if isinstance(message, Pong):
            self._feed(fx.PongReceived(self._node, message))


class Pinger:
    """Pings every link once a period, in small groups that share one encoded ping; who answered nothing for `down_after_s`
    is hung up on, because a new connection is the better bet."""

    def __init__(self, timing: Timing, ping: Callable[[int], Ping]) -> None:
        self._timing = timing
        self._ping = ping
        self._number = 0
        self._due: list[tuple[float, int, Link]] = []  # a heap: when, in which order, whom
        self._order = count()
        self._some = trio.Event()

    def follow(self, link: Link) -> None:
        """Ping it now, and then until it ends: soon again, at a random moment, so that all spread over the period."""
        link.send(encode(self._next()))
        due = trio.current_time() + self._timing.ping_period_s * (0.5 + 0.5 * random.random())
        heappush(self._due, (due, next(self._order), link))
        self._some.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            while not self._due:
                self._some = trio.Event()
                await self._some.wait()
            now = trio.current_time()
            self._ping_due(now)
            if self._due:
                await trio.sleep_until(max(self._due[0][0], now + PING_SLICE_S))

    def _ping_due(self, now: float) -> None:
        message = encode(self._next())
        while self._due and self._due[0][0] <= now:
            due, _, link = heappop(self._due)
            if now - link.heard_at >= self._timing.down_after_s:
                link.close()
            if link.ended.is_set():
                continue
            link.send(message)
            # Who is far behind does not catch up.
            next_due = max(due, now - PING_SLICE_S) + self._timing.ping_period_s
            heappush(self._due, (next_due, next(self._order), link))

    def _next(self) -> Ping:
        self._number += 1
        return self._ping(self._number)


class Lines:
    """What all node probes of a sentinel share. `run` until cancelled."""

    def __init__(self, timing: Timing, ping: Callable[[int], Ping]) -> None:
        self.exchange = Exchange()
        self.pinger = Pinger(timing, ping)
        self.turns = trio.CapacityLimiter(DIALS_MAX)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.exchange.run)
            nursery.start_soon(self.pinger.run)
