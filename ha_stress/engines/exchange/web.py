"""HTTP/2, and HTTP/1.1 where a task mixes it with other protocols: a request is a stream of a pooled connection."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import httpcore
import trio

from ha_stress import __version__
from ha_stress.base.limits import ANSWER_BYTES_MAX
from ha_stress.engines import failures
from ha_stress.engines.exchange.arrival import Arrival
from ha_stress.engines.exchange.pools import Pools
from ha_stress.engines.exchange.reasons import Failed
from ha_stress.engines.exchange.verdicts import settle
from ha_stress.tasks.checking import Compiled
from ha_stress.tasks.protocols import authorization_of
from ha_stress.tasks.spec import HttpRequest


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
        if "authorization" not in given and (authorization := authorization_of(request.url)):
            headers.append((b"authorization", authorization.encode()))
        if "content-length" not in given and "transfer-encoding" not in given and (body or self._method in _WITH_BODY):
            headers.append((b"content-length", str(len(body)).encode()))
        self._headers = headers
        self._checks = checks
        self._pools = pools
        self._nursery = nursery

    async def run(self, arrival: Arrival) -> None:
        request = httpcore.Request(self._method, self._url, headers=self._headers, content=self._body)
        connections, response = await self._pools.begin(request)
        try:
            body = await self._read(response)
        except BaseException as error:
            connections.give_up(error)
            raise
        finally:
            await connections.end(response)
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
        self._nursery.start_soon(self._pools.aclose)


_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})
