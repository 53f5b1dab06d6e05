"""The HTTP connections of a task or of a user: which request goes where, and when it may go again.

A request is sent again, and counted in `retried`, only where the target cannot have acted on it: it was refused (a GOAWAY
named a lower stream as the last one, or its own was reset with REFUSED_STREAM), or the connection was closed before it took
its one frame.
"""

from __future__ import annotations

from typing import Final

import httpcore
import trio

from ha_stress.engines.exchange.network import Backend
from ha_stress.engines.exchange.reach import Reach, Traffic, client_tls

#: Idle connections are kept until their server closes them: a load test pauses, its connections need not.
_KEEP_ALIVE_S: Final = 3600.0
#: A target that refuses this often in a row is not about to take it.
_TRIES_MAX: Final = 10


class Again(Exception):
    """The target cannot have acted on this request: it may be sent on another connection."""


class Connections:
    """All connections for HTTP/1.1, to whatever host.

    `under_way` are the requests whose response is not closed yet. A `retired` one gets no more, and closes after the last.
    """

    def __init__(self, reach: Reach, traffic: Traffic, most: int) -> None:
        self.under_way = 0
        self.retired = False
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=client_tls("http/1.1"),
            max_connections=most,
            max_keepalive_connections=most,
            keepalive_expiry=_KEEP_ALIVE_S,
            network_backend=Backend(reach, traffic, only="", on_goaway=None),
        )

    def has_room(self, _origin: httpcore.Origin) -> bool:
        """Whether a request to this host and port may go here."""
        return not self.retired

    async def usable(self) -> bool:
        """Whether it takes a request; a target may have closed an idle connection. httpcore sees that for HTTP/1.1."""
        return not self.retired

    async def begin(self, request: httpcore.Request) -> httpcore.Response:
        """Send it, and wait for the head of its response; `end` with that. Again, if it may go elsewhere."""
        self.under_way += 1
        try:
            return await self._send(request)
        except BaseException as error:
            if not isinstance(error, Again):
                self.give_up(error)
            await self._left()
            raise

    async def _send(self, request: httpcore.Request) -> httpcore.Response:
        return await self._pool.handle_async_request(request)

    async def end(self, response: httpcore.Response) -> None:
        with trio.CancelScope(shield=True):  # it waits for nobody
            try:
                await response.aclose()
            finally:
                await self._left()

    async def _left(self) -> None:
        self.under_way -= 1
        if self.retired and not self.under_way:
            await self.aclose()

    def give_up(self, error: BaseException | None) -> None:
        """A request on it was given up (None), or went wrong: httpcore closes its connection."""

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True):  # it only closes sockets
            await self._pool.aclose()


class Pools:
    """For HTTP/2 the first connection with room takes the request."""

    def __init__(self, reach: Reach, traffic: Traffic, *, http2: bool, most: int) -> None:
        self._reach = reach
        self._traffic = traffic
        self._http2 = http2
        self._most = most
        self._pools: list[Connections] = []

    async def begin(self, request: httpcore.Request) -> tuple[Connections, httpcore.Response]:
        """Send it, and wait for the head of its response; `end` with both, after `give_up` if that was not read whole."""
        problem: BaseException | None = None
        origin = request.url.origin
        for _ in range(_TRIES_MAX):
            connections = self._take(origin)
            while not await connections.usable():
                connections = self._take(origin)
            try:
                return connections, await connections.begin(request)
            except Again as again:
                self._traffic.retried += 1
                problem = again.__cause__
        assert problem is not None
        self._traffic.retried -= 1  # the last try was not followed by another
        raise problem

    def _take(self, origin: httpcore.Origin) -> Connections:
        for connections in self._pools:
            if connections.has_room(origin):
                return connections
        self._pools = [connections for connections in self._pools if not connections.retired]
        self._pools.append(self._new(origin))
        return self._pools[-1]

    def _new(self, origin: httpcore.Origin) -> Connections:
        if not self._http2:
            return Connections(self._reach, self._traffic, self._most)
        from ha_stress.engines.exchange.http2 import Http2

        return Http2(self._reach, self._traffic, origin)

    async def aclose(self) -> None:
        pools, self._pools = self._pools, []
        for connections in pools:
            await connections.aclose()
