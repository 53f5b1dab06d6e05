"""httpx, as a scenario has it, over the connections of `pools`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpcore
import httpx

from ha_stress.engines.exchange.arrival import CURRENT
from ha_stress.engines.exchange.pools import Connections, Pools

_TRANSLATED = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


class _Body(httpx.AsyncByteStream):
    def __init__(self, connections: Connections, response: httpcore.Response) -> None:
        self._connections = connections
        self._response = response
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_stream():
                yield chunk
        except _TRANSLATED as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        if not self._ended:
            self._ended = True
            await self._connections.end(self._response)


class Transport(httpx.AsyncBaseTransport):
    """What carries a scenario's requests; it counts every response's status for the arrival that it belongs to."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        try:
            connections, response = await self._pools.begin(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except _TRANSLATED as error:
            raise _translated(error) from error
        arrival = CURRENT.get(None)
        if arrival is not None and not arrival.settled:
            arrival.account.statuses[response.status] += 1
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(connections, response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pools.aclose()


def _translated(error: Exception) -> httpx.TransportError:
    """httpx has every class of httpcore's under the same name."""
    kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
    return kind(str(error))
