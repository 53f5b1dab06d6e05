"""httpx, as a scenario has it, over the connections of `pools`: each request is counted under its name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import wraps
from typing import Any, Final

import httpcore
import httpx

from ha_stress.engines.exchange.arrival import CURRENT, SENDING
from ha_stress.engines.exchange.pools import Connections, Pools
from ha_stress.engines.exchange.steps import Step, begun, ending
from ha_stress.tasks.request_names import name_of_step

#: Under which httpx hands the name of a request through to us.
_NAME: Final = "ha_stress.name"

_TRANSLATED = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


class _Body(httpx.AsyncByteStream):
    def __init__(self, connections: Connections, response: httpcore.Response, step: Step | None) -> None:
        self._connections = connections
        self._step = step
        self._response = response
        self._whole = False
        self._problem: BaseException | None = None
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            with ending(self._step):
                async for chunk in self._response.aiter_stream():
                    yield chunk
            self._whole = True
        except _TRANSLATED as error:
            self._problem = error
            raise _translated(error) from error

    async def aclose(self) -> None:
        if not self._ended:
            self._ended = True
            if self._step is not None:
                self._step.complete()
            if not self._whole:
                self._connections.give_up(self._problem)
            await self._connections.end(self._response)


class Transport(httpx.AsyncBaseTransport):
    """What carries a scenario's requests; it counts every response's status for the arrival that it belongs to. `home` is
    the host of the task, which need not be said in names."""

    def __init__(self, pools: Pools, home: bytes) -> None:
        self._pools = pools
        self._home = home

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        step = begun(self._name_of(request))
        sending = SENDING.set(step)
        try:
            with ending(step):
                connections, response = await self._pools.begin(_plain(request))
        except _TRANSLATED as error:
            raise _translated(error) from error
        finally:
            SENDING.reset(sending)
        arrival = CURRENT.get(None)
        if arrival is not None and not arrival.settled:
            arrival.account.statuses[response.status] += 1
            if step is not None:
                step.status(response.status)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(connections, response, step),
            extensions=response.extensions,
        )

    def _name_of(self, request: httpx.Request) -> str:
        given = request.extensions.get(_NAME)
        if given:
            return str(given)
        host = "" if request.url.netloc == self._home else request.url.netloc.decode("ascii", "replace")
        return name_of_step(request.method, request.url.path, host)

    async def aclose(self) -> None:
        await self._pools.aclose()


def _plain(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _named(call: Callable[..., Any]) -> Any:
    """A method of httpx's client that takes `name` as well."""

    @wraps(call)
    def named(self: httpx.AsyncClient, *args: Any, name: str = "", extensions: Any = None, **more: Any) -> Any:
        return call(self, *args, extensions={**(extensions or {}), _NAME: name} if name else extensions, **more)

    return named


class Client(httpx.AsyncClient):
    """httpx's client. With `name=` a request is counted under that name, otherwise under its method and path."""

    request: Any = _named(httpx.AsyncClient.request)
    stream: Any = _named(httpx.AsyncClient.stream)
    get: Any = _named(httpx.AsyncClient.get)
    options: Any = _named(httpx.AsyncClient.options)
    head: Any = _named(httpx.AsyncClient.head)
    post: Any = _named(httpx.AsyncClient.post)
    put: Any = _named(httpx.AsyncClient.put)
    patch: Any = _named(httpx.AsyncClient.patch)
    delete: Any = _named(httpx.AsyncClient.delete)


def _translated(error: Exception) -> httpx.TransportError:
    """httpx has every class of httpcore's under the same name."""
    kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
    return kind(str(error))
