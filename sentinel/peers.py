"""What a sentinel says to its peers: a connection to each of the present members, dialled again whenever it breaks."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import trio

from ha_stress.base.config import SentinelConfig, Timing
from ha_stress.base.errors import MeshUnavailable, ProtocolError
from ha_stress.base.limits import MESH_SEND_QUEUE_MAX
from ha_stress.cluster.members import SentinelInfo
from ha_stress.mesh.client import connect_mesh
from ha_stress.mesh.connection import Connection
from ha_stress.wire.messages import Message, PeerMessage
from sentinel.probe import Address


class Peers:
    """One link for each peer that was asked for last; the links run in the nursery."""

    def __init__(self, config: SentinelConfig, nursery: trio.Nursery) -> None:
        self._config = config
        self._nursery = nursery
        self._found: dict[str, Address] = {peer: _address(text) for peer, text in config.addresses.items()}
        self._links: dict[str, tuple[PeerLink, trio.CancelScope]] = {}

    def __iter__(self) -> Iterator[PeerLink]:
        return (link for link, _ in self._links.values())

    def send(self, to: str, message: PeerMessage) -> None:
        """Queue; never blocks. Nobody is told who is no peer."""
        if to in self._links:
            self._links[to][0].send(message)

    def meet(self, sentinels: Sequence[SentinelInfo]) -> None:
        """Where they say that they are; a configured address stands."""
        for info in sentinels:
            if info.id in self._links and info.id not in self._config.addresses:
                self._found[info.id] = (info.mesh_host, info.mesh_port)

    def become(self, peers: Sequence[str]) -> None:
        """Begin to dial who is new, and hang up on who is none any more."""
        config = self._config
        for peer in peers:
            if peer not in self._links:
                link = PeerLink(peer, partial(self._found.get, peer), secret=config.secret, timing=config.timing)
                self._links[peer] = (link, trio.CancelScope())
                self._nursery.start_soon(_run, *self._links[peer])
        for peer in [peer for peer in self._links if peer not in peers]:
            _, scope = self._links.pop(peer)
            scope.cancel()


async def _run(link: PeerLink, scope: trio.CancelScope) -> None:
    with scope:
        await link.run()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


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
