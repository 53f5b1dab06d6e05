"""httpcore over our own connections: names, allow-list and byte counts as everywhere, and httpx on top of it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import httpx
import trio

from ha_stress.engines.exchange.arrival import CURRENT
from ha_stress.engines.exchange.reach import Reach, Traffic, Wire, client_tls, encrypt
from ha_stress.engines.exchange.reasons import Failed

#: Idle connections are kept until their server closes them: a load test pauses, its connections need not.
_KEEP_ALIVE_S = 3600.0
#: What is read of an idle connection: pings and settings are a few dozen bytes.
_UNREAD_MAX = 1 << 16
_LOOK_S = 0.001


class _NetworkStream(httpcore.AsyncNetworkStream):
    """One connection, as httpcore wants it. A `stale` one takes no more requests."""

    def __init__(self, wire: Wire, backend: _Backend) -> None:
        self.stale = False
        self._unread = b""
        self.wire = wire
        self._backend = backend
        backend.streams.add(self)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if timeout is None:
            return await self._read(max_bytes)
        with trio.move_on_after(timeout):
            return await self._read(max_bytes)
        raise httpcore.ReadTimeout(f"nothing came for {timeout:g} s")

    async def look(self) -> None:
        """While nothing is under way: read what has come, and find out whether that was the end."""
        while not self.stale and self.wire.sock.is_readable() and len(self._unread) < _UNREAD_MAX:
            with trio.move_on_after(_LOOK_S) as scope:
                try:
                    data = await self.wire.receive_some()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    data = b""
                self._unread += data
                self.stale = not data
            if scope.cancelled_caught:  # there were bytes of TLS and none for us
                return

    async def _read(self, max_bytes: int) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        try:
            return await self.wire.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        arrival = CURRENT.get(None)
        if arrival is not None:
            arrival.begin()
        if not buffer:
            return
        if self.stale:
            raise httpcore.ConnectionNotAvailable  # the pool takes another one
        if timeout is None:
            await self._write(buffer)
            return
        with trio.move_on_after(timeout):
            await self._write(buffer)
            return
        raise httpcore.WriteTimeout(f"nothing was taken for {timeout:g} s")

    async def _write(self, buffer: bytes) -> None:
        try:
            await self.wire.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._backend.streams.discard(self)
        self.wire.close()
        await trio.lowlevel.checkpoint()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            try:
                wire = await encrypt(self.wire, server_hostname or "", self._backend.only)
                self._backend.streams.discard(self)
                return _NetworkStream(wire, self._backend)
            except Failed as error:
                raise httpcore.ConnectError(str(error)) from error
        raise httpcore.ConnectTimeout("the TLS handshake took too long")

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self.wire.stream, trio.SSLStream):
            return self.wire.stream._ssl_object  # httpcore asks it for the protocol
        if info == "is_readable":  # an idle connection on which something came is about to be closed
            return self.wire.sock.is_readable()
        if info == "server_addr":
            return self.wire.sock.getpeername()
        return None


class _Backend(httpcore.AsyncNetworkBackend):
    """`only` is the protocol that TLS has to agree on, if there is one; `streams` are the open connections."""

    def __init__(self, reach: Reach, traffic: Traffic, only: str) -> None:
        self._reach = reach
        self._traffic = traffic
        self.only = only
        self.streams: set[_NetworkStream] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            try:
                return _NetworkStream(await self._reach.connect(host, port, self._traffic), self)
            except Failed as error:
                raise httpcore.ConnectError(str(error)) from error
        raise httpcore.ConnectTimeout(f"no connection to {host}:{port} within {timeout:g} s")

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class Connections:
    """Connections for HTTP/1.1, or for HTTP/2 with as many streams as the target allows: in TLS agreed upon, in the clear
    with prior knowledge. `under_way` are the requests whose response is not closed yet; a `retired` one gets no more."""

    def __init__(self, reach: Reach, traffic: Traffic, *, http2: bool, most: int) -> None:
        self.under_way = 0
        self.retired = False
        self._http2 = http2
        self._looking = trio.Lock()
        self._backend = _Backend(reach, traffic, "h2" if http2 else "")
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=client_tls("h2" if http2 else "http/1.1"),
            max_connections=most,
            max_keepalive_connections=most,
            keepalive_expiry=_KEEP_ALIVE_S,
            http1=not http2,
            http2=http2,
            network_backend=self._backend,
        )

    async def begin(self, request: httpcore.Request) -> httpcore.Response:
        """Send it, and wait for the head of its response; `end` with that."""
        if self._http2:
            async with self._looking:
                if not self.under_way:
                    await self._look_at_idle()
        self.under_way += 1
        try:
            return await self._pool.handle_async_request(request)
        except BaseException:
            self.under_way -= 1
            raise

    async def end(self, response: httpcore.Response) -> None:
        self.under_way -= 1
        await response.aclose()

    async def _look_at_idle(self) -> None:
        """A target that has closed an idle connection: httpcore sees that in time for HTTP/1.1 only."""
        for stream in list(self._backend.streams):
            await stream.look()

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, connections: Connections, response: httpcore.Response) -> None:
        self._connections = connections
        self._response = response
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_stream():
                yield chunk
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        if not self._ended:
            self._ended = True
            await self._connections.end(self._response)


class Transport(httpx.AsyncBaseTransport):
    """What carries a scenario's requests; it counts every response's status for the arrival that it belongs to."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        try:
            response = await self._connections.begin(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _translated(error) from error
        except httpcore.UnsupportedProtocol as error:
            raise httpx.UnsupportedProtocol(str(error)) from error
        arrival = CURRENT.get(None)
        if arrival is not None and not arrival.settled:
            arrival.account.statuses[response.status] += 1
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(self._connections, response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._connections.aclose()


def _translated(error: Exception) -> httpx.TransportError:
    """httpx has every class of httpcore's under the same name."""
    kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
    return kind(str(error))
