"""HTTP/2, and HTTP/1.1 where a task mixes it with other protocols: a request is a stream of a pooled connection."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import httpcore
import trio

from ha_stress import __version__
from ha_stress.base.limits import ANSWER_BYTES_MAX, IN_FLIGHT_MAX
from ha_stress.engines import failures
from ha_stress.engines.exchange.arrival import Arrival
from ha_stress.engines.exchange.reach import Reach, Traffic
from ha_stress.engines.exchange.reasons import Failed
from ha_stress.engines.exchange.transport import Connections
from ha_stress.engines.exchange.verdicts import settle
from ha_stress.tasks.checking import Compiled
from ha_stress.tasks.spec import HttpRequest

#: Streams that servers commonly allow on one connection; above it the next connection is used.
STREAMS_PER_CONNECTION: Final = 100


class Pools:
    """The HTTP connections of a task. For HTTP/2 a pool is one connection, and the first with room takes the request."""

    def __init__(self, reach: Reach, traffic: Traffic, *, http2: bool) -> None:
        self._reach = reach
        self._traffic = traffic
        self._http2 = http2
        self._pools: list[Connections] = []

    def take(self) -> Connections:
        for connections in self._pools:
            if not self._http2 or connections.under_way < STREAMS_PER_CONNECTION:
                return connections
        most = 1 if self._http2 else IN_FLIGHT_MAX
        connections = Connections(self._reach, self._traffic, http2=self._http2, most=most)
        self._pools.append(connections)
        return connections

    def retire(self, connections: Connections) -> None:
        """A request on it was given up or went wrong. An HTTP/2 connection of which that is true is not used for new ones:
        what still comes for that stream nobody reads, and the window of all of them shrinks."""
        if self._http2 and connections in self._pools:
            self._pools.remove(connections)
            connections.retired = True

    def close(self) -> list[Connections]:
        """Forget them all; returns those that the caller has to close."""
        pools, self._pools = self._pools, []
        return pools


class WebExchange:
    """`pools` may be shared by several requests of a task that speak the same version."""

    def __init__(
        self, request: HttpRequest, body: bytes, checks: Compiled, pools: Pools, nursery: trio.Nursery
    ) -> None:
        parts = urlsplit(request.url)
        self._url = httpcore.URL(request.url.partition("#")[0])
        self._method = request.method.upper().encode()
        self._body = body
        given = {name.lower() for name, _ in request.headers}
        headers = [(name.lower().encode(), value.encode()) for name, value in request.headers]
        if "host" not in given:
            headers.insert(0, (b"host", parts.netloc.rpartition("@")[2].encode()))
        if "user-agent" not in given:
            headers.append((b"user-agent", f"ha-stress/{__version__}".encode()))
        if "content-length" not in given and "transfer-encoding" not in given and (body or self._method in _WITH_BODY):
            headers.append((b"content-length", str(len(body)).encode()))
        self._headers = headers
        self._checks = checks
        self._pools = pools
        self._nursery = nursery

    async def run(self, arrival: Arrival) -> None:
        connections = self._pools.take()
        try:
            response = await connections.begin(
                httpcore.Request(self._method, self._url, headers=self._headers, content=self._body)
            )
            try:
                body = await self._read(response)
            finally:
                await connections.end(response)
        except BaseException:
            self._pools.retire(connections)
            raise
        finally:
            if connections.retired and not connections.under_way:
                self._nursery.start_soon(connections.aclose)
        settle(arrival, self._checks, response.status, response.headers, body)

    async def _read(self, response: httpcore.Response) -> bytes:
        if not self._checks.needs_body:
            async for _ in response.aiter_stream():
                pass
            return b""
        body = bytearray()
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise Failed(failures.TOO_LARGE, f"a body of more than {ANSWER_BYTES_MAX} bytes cannot be checked")
        return bytes(body)

    def close(self) -> None:
        for connections in self._pools.close():
            self._nursery.start_soon(connections.aclose)


_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})
