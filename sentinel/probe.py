"""Persistent connections to nodes and peers: dialled, pinged, dialled again. Reports what happened; judges nothing.

After a broken connection the first dials come close together (`crash_dials` of them span `crash_confirm_s`), so that
refusals become evidence within tens of milliseconds; later ones come once a ping period, with jitter.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import trio

from ha_stress import log
from ha_stress.base.config import Timing
from ha_stress.base.errors import MeshUnavailable, ProtocolError
from ha_stress.base.limits import MESH_SEND_QUEUE_MAX
from ha_stress.mesh.client import connect_mesh
from ha_stress.mesh.connection import Connection
from ha_stress.wire.messages import Message, PeerMessage, Ping, Pong
from sentinel import effects as fx

Address = tuple[str, int]
#: Fast dials beyond `crash_dials`: while a process is being torn down, its port may still take connections and then drop
#: them, which is no refusal.
SPARE_DIALS = 5
#: After such a dial: measured, the port is gone 2 to 12 ms after the connections are.
WASTED_DIAL_PAUSE_S = 0.005


class Dialler:
    """When to dial next. Fast right after a loss, patient afterwards."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._fast_left = 0

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
    """Watches one node: connect, ping each period, report pongs, losses and failed dials."""

    def __init__(
        self,
        node: str,
        address: Callable[[], Address | None],
        *,
        secret: str,
        timing: Timing,
        ping: Callable[[int], Ping],
        feed: Callable[[fx.Happening], None],
    ) -> None:
        self._node = node
        self._address = address
        self._secret = secret
        self._timing = timing
        self._ping = ping
        self._feed = feed
        self._dialler = Dialler(timing)
        self._log = log.get("probe").bind(node=node)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            address = self._address()
            failure = MeshUnavailable("its address is not known") if address is None else await self._dial(*address)
            if failure is not None:
                await trio.sleep(self._dialler.pause_s(refused=failure.refused))

    async def _dial(self, host: str, port: int) -> MeshUnavailable | None:
        """One connection from dial to loss; or why there was none."""
        timeout_s = max(self._timing.ping_period_s, 0.2)
        try:
            async with connect_mesh(host, port, self._secret, connect_timeout_s=timeout_s) as connection:
                self._feed(fx.NodeConnected(self._node))
                try:
                    await self._converse(connection)
                finally:  # said before the goodbye, which may take its time
                    self._dialler.connection_broke()
                    self._feed(fx.NodeConnectionLost(self._node))
        except MeshUnavailable as error:
            self._feed(fx.DialFailed(self._node, error.refused))
            return error
        return None

    async def _converse(self, connection: Connection) -> None:
        """Ping and listen until the connection breaks, or answers nothing for so long that a new one is the better bet."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping_for_ever, connection)
            patience_s = self._timing.down_after_s
            try:
                while True:
                    with trio.fail_after(patience_s):
                        message = await connection.receive()
                    if isinstance(message, Pong):
                        self._feed(fx.PongReceived(self._node, message))
            except (MeshUnavailable, trio.TooSlowError):
                pass  # both mean: this connection is over; the loss is reported by the caller
            except ProtocolError as error:
                self._log.warning("unreadable answer", problem=str(error))
            nursery.cancel_scope.cancel()

    async def _ping_for_ever(self, connection: Connection) -> None:
        number = 0
        try:
            while True:
                number += 1
                await connection.send(self._ping(number))
                await trio.sleep(self._timing.ping_period_s)
        except MeshUnavailable:
            await connection.aclose()  # the reader notices and ends the conversation


class PeerLink:
    """Sends to one peer over a connection of its own. Messages for a peer that is away are dropped, newest kept:
    each message is superseded by the next one, and every request is asked again."""

    def __init__(self, peer: str, address: Callable[[], Address | None], *, secret: str, timing: Timing) -> None:
        self.peer = peer
        self.dropped = 0
        self._address = address
        self._secret = secret
        self._timing = timing
        self._queue: deque[Message] = deque()
        self._some = trio.Event()

    def send(self, message: PeerMessage) -> None:
        """Queue; never blocks."""
        if len(self._queue) >= MESH_SEND_QUEUE_MAX:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(message)
        self._some.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            address = self._address()
            if address is not None:
                await self._serve(*address)
            # What was meant for the moment before is of no use in the next one.
            self.dropped += len(self._queue)
            self._queue.clear()
            await trio.sleep(self._timing.ping_period_s * (0.25 + 0.25 * random.random()))

    async def _serve(self, host: str, port: int) -> None:
        timeout_s = max(self._timing.ping_period_s, 0.2)
        try:
            async with (
                connect_mesh(host, port, self._secret, connect_timeout_s=timeout_s) as connection,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._notice_the_end, connection, nursery.cancel_scope)
                while True:
                    await self._some.wait()
                    self._some = trio.Event()
                    while self._queue:
                        await connection.send(self._queue.popleft())
        except* MeshUnavailable:
            pass  # the next dial follows; what was lost is said again with the next views

    async def _notice_the_end(self, connection: Connection, scope: trio.CancelScope) -> None:
        """A peer says nothing on this connection; reading it is how its end is noticed at once."""
        try:
            while True:
                await connection.receive()
        except (MeshUnavailable, ProtocolError):
            scope.cancel()
