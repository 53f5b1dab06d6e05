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


class _NetworkStream(httpcore.AsyncNetworkStream):
    """One connection, as httpcore wants it. `only` is the protocol that TLS has to agree on, if there is one."""

    def __init__(self, wire: Wire, only: str) -> None:
        self._wire = wire
        self._only = only

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if timeout is None:
            return await self._read(max_bytes)
        with trio.move_on_after(timeout):
            return await self._read(max_bytes)
        raise httpcore.ReadTimeout(f"nothing came for {timeout:g} s")

    async def _read(self, max_bytes: int) -> bytes:
        try:
            return await self._wire.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        arrival = CURRENT.get(None)
        if arrival is not None:
            arrival.begin()
        if not buffer:
            return
        if timeout is None:
            await self._write(buffer)
            return
        with trio.move_on_after(timeout):
            await self._write(buffer)
            return
        raise httpcore.WriteTimeout(f"nothing was taken for {timeout:g} s")

    async def _write(self, buffer: bytes) -> None:
        try:
            await self._wire.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._wire.close()
        await trio.lowlevel.checkpoint()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            try:
                return _NetworkStream(await encrypt(self._wire, server_hostname or "", self._only), self._only)
            except Failed as error:
                raise httpcore.ConnectError(str(error)) from error
        raise httpcore.ConnectTimeout("the TLS handshake took too long")

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._wire.stream, trio.SSLStream):
            return self._wire.stream._ssl_object  # httpcore asks it for the protocol
        if info == "is_readable":  # an idle connection on which something came is about to be closed
            return self._wire.sock.is_readable()
        if info == "server_addr":
            return self._wire.sock.getpeername()
        return None


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, reach: Reach, traffic: Traffic, only: str) -> None:
        self._reach = reach
        self._traffic = traffic
        self._only = only

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
                return _NetworkStream(await self._reach.connect(host, port, self._traffic), self._only)
            except Failed as error:
                raise httpcore.ConnectError(str(error)) from error
        raise httpcore.ConnectTimeout(f"no connection to {host}:{port} within {timeout:g} s")

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


def connection_pool(reach: Reach, traffic: Traffic, *, http2: bool, most: int) -> httpcore.AsyncConnectionPool:
    """Connections for HTTP/1.1, or for HTTP/2 with as many streams as the target allows: in TLS agreed upon, in the
    clear with prior knowledge."""
    return httpcore.AsyncConnectionPool(
        ssl_context=client_tls("h2" if http2 else "http/1.1"),
        max_connections=most,
        max_keepalive_connections=most,
        keepalive_expiry=_KEEP_ALIVE_S,
        http1=not http2,
        http2=http2,
        network_backend=_Backend(reach, traffic, "h2" if http2 else ""),
    )


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_stream():
                yield chunk
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        await self._response.aclose()


class Transport(httpx.AsyncBaseTransport):
    """What carries a scenario's requests; it counts every response's status for the arrival that it belongs to."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        try:
            response = await self._pool.handle_async_request(
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
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


def _translated(error: Exception) -> httpx.TransportError:
    """httpx has every class of httpcore's under the same name."""
    kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
    return kind(str(error))
