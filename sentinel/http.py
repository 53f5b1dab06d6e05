"""A small HTTP/1.1 server for pages that are asked for by scrapers and load balancers: GET and HEAD, h11 on trio.

The API of a node runs on FastAPI and Hypercorn; a sentinel has no use for them and a third of their memory. h11 holds the
protocol: what is said when, and how long a request may be. Here are the sockets, the deadlines and the bounds.

    connection --request--> pages[path]() --Page--> connection, until it is closed or idle
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
import trio

from ha_stress import log
from ha_stress.base.limits import SENTINEL_HTTP_CONNECTIONS_MAX, SENTINEL_HTTP_REQUEST_BYTES_MAX
from ha_stress.mesh.listening import listening

_log = log.get("http")

#: How long a connection is kept for the next request: a little more than the minute between two scrapes.
IDLE_TIMEOUT_S = 75.0
#: From the first byte of a request to its last.
REQUEST_TIMEOUT_S = 10.0
#: A caller that takes nothing of its answer for this long is gone.
SEND_TIMEOUT_S = 10.0
#: HAProxy's checks are OPTIONS requests by default, and want to see the status of the page.
METHODS = ("GET", "HEAD", "OPTIONS")
#: A close with bytes unread resets the connection, and the answer may be lost with it: how long they are read for.
LINGER_S = 1.0
_READ_BYTES = 4 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer."""

    status: int = 200
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def json_page(document: Mapping[str, Any], status: int = 200) -> Page:
    return Page(status=status, body=json.dumps(document).encode() + b"\n")


#: By path.
Pages = Mapping[str, Callable[[], Awaitable[Page]]]


async def serve_http(
    host: str,
    port: int,
    pages: Pages,
    *,
    request_timeout_s: float = REQUEST_TIMEOUT_S,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled. Starts with the port. ConfigError if it cannot listen."""
    listeners, bound = await listening(host, port, what="health and metrics", cure="choose another --http-port")
    connections = _Connections(pages, request_timeout_s)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, connections.serve, listeners)
        task_status.started(bound)


class _Connections:
    """All open connections of one server."""

    def __init__(self, pages: Pages, request_timeout_s: float) -> None:
        self._pages = pages
        self._request_timeout_s = request_timeout_s
        self._open = 0
        self._waiting: dict[trio.CancelScope, None] = {}  # for a whole request; the longest first

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, from its first byte to its end. Whatever its bytes provoke ends it, not the sentinel."""
        if self._open >= SENTINEL_HTTP_CONNECTIONS_MAX and not self._make_room():
            _log.debug("too many connections; one is refused", limit=SENTINEL_HTTP_CONNECTIONS_MAX)
            await trio.aclose_forcefully(stream)
            return
        self._open += 1
        try:
            await self._converse(stream, h11.Connection(h11.SERVER, SENTINEL_HTTP_REQUEST_BYTES_MAX))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, h11.ProtocolError):
            pass  # a caller that hangs up, stops reading or does not speak HTTP is no news
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    def _make_room(self) -> bool:
        """End the connection that has said nothing whole for the longest time: whoever only holds connections must not keep
        a load balancer from asking whether this sentinel lives."""
        for longest in self._waiting:
            del self._waiting[longest]
            longest.cancel()
            return True
        return False

    async def _converse(self, stream: trio.SocketStream, http: h11.Connection) -> None:
        while True:
            try:
                request = await self._next_request(stream, http)
            except h11.RemoteProtocolError as error:
                await _answer(stream, http, _problem(error.error_status_hint, str(error)), with_body=True)
                await _linger(stream)
                return
            if request is None:
                return
            page = await self._page(request)
            await _answer(stream, http, page, with_body=request.method != b"HEAD")
            if http.their_state is not h11.DONE:  # it wants no more, or sends a body, which nobody wants
                await _linger(stream)
                return
            http.start_next_cycle()

    async def _next_request(self, stream: trio.SocketStream, http: h11.Connection) -> h11.Request | None:
        """None when the caller is gone, or takes too long."""
        with trio.move_on_after(IDLE_TIMEOUT_S) as patience:
            self._waiting[patience] = None
            try:
                while (event := http.next_event()) is h11.NEED_DATA:
                    http.receive_data(await stream.receive_some(_READ_BYTES))
                    patience.deadline = min(patience.deadline, trio.current_time() + self._request_timeout_s)
            finally:
                self._waiting.pop(patience, None)
            if isinstance(event, h11.Request):
                http.next_event()  # its end, if it has no body; a body is not read
                return event
        return None

    async def _page(self, request: h11.Request) -> Page:
        path = request.target.partition(b"?")[0].decode("ascii", "replace")
        page = self._pages.get(path)
        if request.method.decode("ascii", "replace") not in METHODS:
            return _problem(405, f"only {', '.join(METHODS)} are answered here")
        if page is None:
            return _problem(404, f"there is no {path[:100]}; there are {', '.join(self._pages)}")
        try:
            return await page()
        except Exception as error:  # noqa: BLE001  a defect of a page must not cost a vote; it is said loudly instead
            _log.exception("a page could not be made", path=path, problem=repr(error))
            return _problem(500, "this page could not be made; the sentinel's log says why")


async def _answer(stream: trio.SocketStream, http: h11.Connection, page: Page, *, with_body: bool) -> None:
    headers = [
        ("content-type", page.content_type),
        ("content-length", str(len(page.body))),
        ("cache-control", "no-store"),
        *page.headers,
    ]
    reason = HTTPStatus(page.status).phrase.encode()
    data = http.send(h11.Response(status_code=page.status, headers=headers, reason=reason)) or b""
    if with_body:
        data += http.send(h11.Data(data=page.body)) or b""
    data += http.send(h11.EndOfMessage()) or b""
    with trio.fail_after(SEND_TIMEOUT_S):
        await stream.send_all(data)


async def _linger(stream: trio.SocketStream) -> None:
    await stream.send_eof()
    with trio.move_on_after(LINGER_S):
        while await stream.receive_some(_READ_BYTES):
            pass


def _problem(status: int, sentence: str) -> Page:
    extra = (("allow", ", ".join(METHODS)),) if status == 405 else ()
    return Page(status=status, body=json.dumps({"error": sentence}).encode() + b"\n", headers=extra)
