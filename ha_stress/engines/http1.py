"""HTTP/1.1 as bytes: the request, and what a response means when its connection ends. No sockets here.

`httptools` (llhttp) does the parsing; it has no call for "the response was to a HEAD" and none for "the connection
ended", so those two are decided here.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ha_stress import __version__
from ha_stress.tasks.spec import HttpRequest

#: What a parser raises on bytes that are not HTTP, or that leave HTTP.
PARSER_ERRORS: Final = (HttpParserError, HttpParserUpgrade)
#: How much of a response's beginning is kept to find out whether it ends with its connection.
HEAD_BYTES_MAX: Final = 65_536
SWITCHING_PROTOCOLS: Final = 101


class Target:
    """Where a task's requests go, and their bytes, built once."""

    __slots__ = ("head", "host", "payload", "port", "tls")

    def __init__(self, request: HttpRequest) -> None:
        parts = urlsplit(request.url)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.head = request.method.upper() == "HEAD"
        self.payload = request_bytes(request)


def request_bytes(request: HttpRequest) -> bytes:
    """The request as it is sent. Headers of the task win over the ones that are added here."""
    parts = urlsplit(request.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    method = request.method.upper()
    given = {name.lower() for name, _ in request.headers}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {parts.netloc.rpartition('@')[2]}")
    if "user-agent" not in given:
        lines.append(f"User-Agent: ha-stress/{__version__}")
    if "content-length" not in given and "transfer-encoding" not in given and (request.body or method in _WITH_BODY):
        lines.append(f"Content-Length: {len(request.body)}")
    lines += [f"{name}: {value}" for name, value in request.headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + request.body


_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class HeadersOnly:
    """Parser callbacks for a response that has no body whatever its headers say. `final` is set once it is complete."""

    def __init__(self) -> None:
        self.parser = HttpResponseParser(self)
        self.final = False
        self.status = 0
        self._names: set[bytes] = set()
        self._connection = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._names.add(name)
        if name == b"connection":
            self._connection += b"," + value.lower()

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status < 200 and status != SWITCHING_PROTOCOLS:
            self._names.clear()
            return
        if not self.final:
            self.final = True
            self.status = status

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may be used again, going by version and headers alone."""
        tokens = {token.strip() for token in self._connection.split(b",")}
        if self.status == SWITCHING_PROTOCOLS or b"close" in tokens:
            return False
        return self.parser.get_http_version() != "1.0" or b"keep-alive" in tokens

    @property
    def ends_with_connection(self) -> bool:
        """Whether the headers give the body no other end than that of the connection."""
        return self.final and b"content-length" not in self._names and b"transfer-encoding" not in self._names


def read_head(data: bytes) -> HeadersOnly:
    """What the beginning of a response says. Bytes that are not HTTP leave `final` false."""
    head = HeadersOnly()
    with contextlib.suppress(*PARSER_ERRORS):  # what was understood before the error stands
        head.parser.feed_data(data)
    return head


def new_parser(callbacks: Any) -> Any:
    """A response parser; it calls `callbacks.on_message_complete()`."""
    return HttpResponseParser(callbacks)
