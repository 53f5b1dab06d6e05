"""The server: one epoll, keep-alive, pipelining, every path counts.

`GET /__count` answers {"counted": N} and does not count. A request counts when it has been read whole, whatever becomes
of its answer.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

COUNT_PATH: Final = b"/__count"
#: Answers that a client has not read; beyond it its connection is closed, as it would otherwise grow without end.
UNSENT_BYTES_MAX: Final = 64 << 20
EVENTS_MAX: Final = 256
BACKLOG: Final = 4_096


class TargetServer:
    """Listens from construction on. `counted` is how many requests it has read whole."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, delay_s: float = 0.0, status: int = 200, body_bytes: int = 2
    ) -> None:
        self.counted = 0
        self.delay_s = delay_s
        self.epoll = select.epoll()
        self.handlers: dict[int, Callable[[int], None]] = {}
        self.later: list[tuple[float, int, _Client, bytes, bool]] = []
        self._order = 0
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.epoll.register(self._wake, select.EPOLLIN)
        self.answers = {keep: answer(status, b"o" * body_bytes, keep_alive=keep) for keep in (True, False)}
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.handlers[self._listener.fileno()] = self._on_connect
        self.epoll.register(self._listener.fileno(), select.EPOLLIN)

    def stop(self) -> None:
        """End `serve_forever` soon; may be called from a signal handler (an exception from there could end up in the
        parser, which turns everything that its callbacks raise into a parser error)."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def serve_forever(self) -> None:
        """Until `stop`."""
        poll, handlers, later = self.epoll.poll, self.handlers, self.later
        watched = (self.epoll.fileno(),)
        while not self._stopping:
            if later:
                select.select(watched, (), (), max(0.0, later[0][0] - time.monotonic()))
                self._send_due()
            for descriptor, mask in poll(0 if later else None, EVENTS_MAX):
                handler = handlers.get(descriptor)
                if handler is not None:
                    handler(mask)

    def _on_connect(self, _mask: int) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                _Client(self, sock)
        except BlockingIOError:
            return
        except OSError:
            return  # the client has gone again, or we are out of descriptors: the backlog keeps it for the next round

    def send_later(self, client: _Client, data: bytes, *, last: bool) -> None:
        self._order += 1
        heapq.heappush(self.later, (time.monotonic() + self.delay_s, self._order, client, data, last))

    def _send_due(self) -> None:
        moment = time.monotonic()
        while self.later and self.later[0][0] <= moment:
            _, _, client, data, last = heapq.heappop(self.later)
            client.answer(data, last=last)


class _Client:
    """One connection."""

    __slots__ = ("_last", "_parser", "_path", "_server", "_sock", "_unsent")

    def __init__(self, server: TargetServer, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._unsent = b""
        self._path = b""
        self._last = False
        self._parser = HttpRequestParser(self)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.handlers[sock.fileno()] = self._on_ready
        server.epoll.register(sock.fileno(), select.EPOLLIN)

    def _on_ready(self, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self.answer(b"", last=False)
            return
        try:
            data = self._sock.recv(65_536)
            if data:
                self._parser.feed_data(data)
                return
        except BlockingIOError:
            return
        except (HttpParserError, HttpParserUpgrade):
            self.answer(answer(400, b"", keep_alive=False), last=True)
            return
        except OSError:
            pass  # reset by the client: closed below as after any other end
        self.close()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_message_complete(self) -> None:
        path, self._path = self._path, b""
        server = self._server
        keep_alive = self._parser.should_keep_alive()
        if path == COUNT_PATH:
            body = json.dumps({"counted": server.counted}).encode()
            self.answer(answer(200, body, keep_alive=keep_alive), last=not keep_alive)
            return
        server.counted += 1
        data = server.answers[keep_alive]
        if self._parser.get_method() == b"HEAD":
            data = data[: data.index(b"\r\n\r\n") + 4]
        if server.delay_s:
            server.send_later(self, data, last=not keep_alive)
        else:
            self.answer(data, last=not keep_alive)

    def answer(self, data: bytes, *, last: bool) -> None:
        """Send, keeping what the client does not take now; close after the `last` one."""
        if self._sock.fileno() < 0:
            return
        self._last = self._last or last
        data = self._unsent + data if self._unsent else data
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent == len(data):
            if self._unsent:
                self._unsent = b""
                self._server.epoll.modify(self._sock.fileno(), select.EPOLLIN)
            if self._last:
                self.close()
            return
        if len(data) - sent > UNSENT_BYTES_MAX:
            self.close()
            return
        if not self._unsent:
            self._server.epoll.modify(self._sock.fileno(), select.EPOLLOUT)
        self._unsent = data[sent:]

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._server.handlers.pop(self._sock.fileno(), None)
            self._sock.close()


def answer(status: int, body: bytes, *, keep_alive: bool) -> bytes:
    """One response."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Status"
    lines = [f"HTTP/1.1 {status} {phrase}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    if status in (204, 304):
        lines, body = lines[:2], b""
    if not keep_alive:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
