"""The HTTP connections of a task or of a user: which request goes where, and when it may go again.

A request is sent again, and counted in `retried`, only where the target cannot have acted on it: it was refused (a GOAWAY
named a lower stream as the last one), or the connection was closed before it took its one frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import httpcore
import trio

from ha_stress.engines.exchange.network import Backend
from ha_stress.engines.exchange.reach import Reach, Traffic, client_tls

#: Idle connections are kept until their server closes them: a load test pauses, its connections need not.
_KEEP_ALIVE_S: Final = 3600.0
#: Streams that servers commonly allow on one HTTP/2 connection; above it the next connection is used.
STREAMS_PER_CONNECTION: Final = 100
_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})
#: A target that refuses this often in a row is not about to take it.
_TRIES_MAX: Final = 10
_REFUSED: Final = "Server disconnected: it refused the stream"
_BROKEN: Final = (httpcore.WriteError, httpcore.ReadError, httpcore.RemoteProtocolError)


class _Sent:
    """The number of a request's HTTP/2 stream, as httpcore tells it to whoever traces the request; `scope` ends the wait."""

    def __init__(self, refused: Callable[[_Sent], bool]) -> None:
        self.stream = 0
        self.scope = trio.CancelScope()
        self._refused = refused

    async def __call__(self, name: str, info: dict[str, Any]) -> None:
        if name == "http2.send_request_headers.started":
            self.stream = info["stream_id"]
            if self._refused(self):  # sent away since this connection was chosen, and nothing has been sent
                raise _Again from httpcore.RemoteProtocolError(_REFUSED)


class _Again(Exception):
    """The target cannot have acted on this request: it may be sent on another connection."""


class Connections:
    """All connections for HTTP/1.1, or one for HTTP/2 with its streams: agreed upon in TLS, prior knowledge in the clear.

    `under_way` are the requests whose response is not closed yet. A `retired` one gets no more, and closes after the last.
    """

    def __init__(self, reach: Reach, traffic: Traffic, *, http2: bool, most: int) -> None:
        self.under_way = 0
        self.retired = False
        self._last_stream: int | None = None
        self._sent: set[_Sent] = set()  # requests that wait for the head of their response
        self._http2 = http2
        self._looking = trio.Lock()
        self._backend = Backend(reach, traffic, only="h2" if http2 else "", on_goaway=self._goaway if http2 else None)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=client_tls("h2" if http2 else "http/1.1"),
            max_connections=most,
            max_keepalive_connections=most,
            keepalive_expiry=_KEEP_ALIVE_S,
            http1=not http2,
            http2=http2,
            network_backend=self._backend,
        )

    def _goaway(self, last_stream: int) -> None:
        self.retired = True
        self._last_stream = last_stream if self._last_stream is None else min(last_stream, self._last_stream)
        for sent in self._sent:
            if self._refused(sent):
                sent.scope.cancel()

    def _refused(self, sent: _Sent) -> bool:
        return self._last_stream is not None and sent.stream > self._last_stream

    async def usable(self) -> bool:
        """Whether it takes a request; a target may have closed an idle connection. httpcore sees that for HTTP/1.1 only."""
        if self._http2:
            async with self._looking:
                if not self.under_way:
                    for stream in list(self._backend.streams):
                        self.retired = not await stream.look() or self.retired
        return not self.retired

    async def begin(self, request: httpcore.Request) -> httpcore.Response:
        """Send it, and wait for the head of its response; `end` with that."""
        self.under_way += 1
        try:
            return await (self._send(request) if self._http2 else self._pool.handle_async_request(request))
        except BaseException:
            await self._left()
            raise

    async def _send(self, request: httpcore.Request) -> httpcore.Response:
        sent = _Sent(self._refused)
        request.extensions = {**request.extensions, "trace": sent}
        whole = not any(name.lower() in _OF_BODIES for name, _ in request.headers)
        if whole:
            self._sent.add(sent)
        try:
            with sent.scope:
                return await self._pool.handle_async_request(request)
            raise _Again from httpcore.RemoteProtocolError(_REFUSED)
        except _BROKEN as error:
            self.retired = True
            if whole and (self._refused(sent) or isinstance(error, httpcore.WriteError)):
                raise _Again from error
            raise
        finally:
            self._sent.discard(sent)

    async def end(self, response: httpcore.Response) -> None:
        await response.aclose()
        await self._left()

    async def _left(self) -> None:
        self.under_way -= 1
        if self.retired and not self.under_way:
            await self.aclose()

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
        """Send it, and wait for the head of its response; give both back with `end`, or `give_up`."""
        problem: BaseException | None = None
        for _ in range(_TRIES_MAX):
            connections = self._take()
            while not await connections.usable():
                connections = self._take()
            try:
                return connections, await connections.begin(request)
            except _Again as again:
                self._traffic.retried += 1
                problem = again.__cause__
            except BaseException:
                self.give_up(connections)
                raise
        assert problem is not None
        self._traffic.retried -= 1  # the last try was not followed by another
        raise problem

    def give_up(self, connections: Connections) -> None:
        """A request on it was given up or went wrong. An HTTP/2 connection of which that is true is not used for new ones:
        what still comes for that stream nobody reads, and the window of all of them shrinks."""
        connections.retired = connections.retired or self._http2

    def _take(self) -> Connections:
        self._pools = [connections for connections in self._pools if not connections.retired]
        for connections in self._pools:
            if not self._http2 or connections.under_way < STREAMS_PER_CONNECTION:
                return connections
        most = 1 if self._http2 else self._most
        self._pools.append(Connections(self._reach, self._traffic, http2=self._http2, most=most))
        return self._pools[-1]

    async def aclose(self) -> None:
        pools, self._pools = self._pools, []
        for connections in pools:
            await connections.aclose()
