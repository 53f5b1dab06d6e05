"""HTTP/1.1 as bytes: the request, and what a response means when its connection ends. No sockets here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ha_stress import __version__
from ha_stress.tasks.protocols import authorization_of
from ha_stress.tasks.spec import HttpRequest

if TYPE_CHECKING:
    from ha_stress.engines.origin import Origin

#: What a parser raises on bytes that are not HTTP, or that leave HTTP.
PARSER_ERRORS: Final = (HttpParserError, HttpParserUpgrade)
SWITCHING_PROTOCOLS: Final = 101
#: Every request says what sent it, unless its task says otherwise, and, whatever its task says, for which task.
USER_AGENT: Final = f"ha-stress/{__version__}"
TASK_HEADER: Final = "X-HA-Stress-Task"
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class Prepared:
    """One request of a task, made ready: where it goes, and its bytes, built once.

    `place` is its place among the requests of its task.

    `whole` is an answer that came in one piece and was right in every way, `whole_status` its status: the same bytes at the
    same place mean the same, so they need no parsing.
    """

    __slots__ = (
        "head",
        "host",
        "incomplete",
        "origin",
        "payload",
        "place",
        "port",
        "size",
        "timeout_s",
        "tls",
        "whole",
        "whole_status",
    )

    def __init__(self, request: HttpRequest, task: str, blobs: Mapping[str, bytes], place: int = 0) -> None:
        self.place = place
        #: The stored body that it names is not there, so it cannot be sent.
        self.incomplete = bool(request.body_blob) and request.body_blob not in blobs
        if request.body_blob and not self.incomplete:
            request = replace(request, body=blobs[request.body_blob])
        parts = urlsplit(request.url)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.head = request.method.upper() == "HEAD"
        self.payload = request_bytes(request, task)
        self.size = len(self.payload)
        self.timeout_s = request.timeout_s
        self.whole = b""
        self.whole_status = 0
        self.origin: Origin


def request_bytes(request: HttpRequest, task: str = "") -> bytes:
    """The request as it is sent. Headers of the task win over the ones that are added here, but for the one that says
    which task it is: whoever is loaded can always tell by whom."""
    parts = urlsplit(request.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    method = request.method.upper()
    headers = [(name, value) for name, value in request.headers if not task or name.lower() != TASK_HEADER.lower()]
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {parts.netloc.rpartition('@')[2]}")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if "authorization" not in given and (authorization := authorization_of(request.url)):
        lines.append(f"Authorization: {authorization}")
    if task:
        lines.append(f"{TASK_HEADER}: {task}")
    if "content-length" not in given and "transfer-encoding" not in given and (request.body or method in _WITH_BODY):
        lines.append(f"Content-Length: {len(request.body)}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + request.body


class HeadersOnly:
    """A response of which only the headers count: one to a HEAD, or the beginning of a long one. `final` is set once they
    are complete; informational answers (1xx) before them are passed over. `close` it if they never were."""

    def __init__(self) -> None:
        self._parser: Any = HttpResponseParser(self)
        self.final = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._version = ""
        self._body = False

    def feed(self, data: bytes) -> None:
        """PARSER_ERRORS for bytes that are not HTTP; nothing more may be fed once it is final."""
        try:
            self._parser.feed_data(data)
        finally:
            if self.final:
                self.close()

    def close(self) -> None:
        """Parser and callbacks refer to each other, and the collector of garbage is off."""
        self._parser = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.final:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != SWITCHING_PROTOCOLS:
            self.headers.clear()
        elif not self.final:
            self.final = True
            self.status = status
            self._version = self._parser.get_http_version()

    def on_body(self, _data: bytes) -> None:
        self._body = True

    def on_message_begin(self) -> None:
        self._body = self._body or self.final

    def _tokens(self, name: bytes) -> list[bytes]:
        """What the headers of this name list, in lower case."""
        values = [value.lower() for one, value in self.headers if one == name]
        return [token.strip() for value in values for token in value.split(b",")]

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may be used again, after an answer to a HEAD: one with a body is no such answer."""
        tokens = self._tokens(b"connection")
        if self.status == SWITCHING_PROTOCOLS or b"close" in tokens or self._body:
            return False
        return self._version != "1.0" or b"keep-alive" in tokens

    @property
    def ends_with_connection(self) -> bool:
        """Whether the headers give the body no other end than that of the connection."""
        codings = self._tokens(b"transfer-encoding")
        return self.final and (codings[-1] != b"chunked" if codings else not self._tokens(b"content-length"))


def read_head(data: bytes) -> HeadersOnly:
    """What the beginning of a response says. Bytes that are not HTTP leave `final` false."""
    head = HeadersOnly()
    with contextlib.suppress(*PARSER_ERRORS):  # what was understood before the error stands
        head.feed(data)
    head.close()
    return head
