"""What of a response is kept for its checks: only what they look at, and never more than a bound."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from ha_stress.base.limits import CHECKED_BODY_BYTES_MAX, CHECKED_HEADERS_MAX
from ha_stress.tasks.checking import Compiled, failures

#: Codings, as `zlib` names their formats. Deflate some servers wrongly understand to be without its frame.
_FORMATS: Final = {
    b"gzip": (16 + zlib.MAX_WBITS,),
    b"x-gzip": (16 + zlib.MAX_WBITS,),
    b"deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}


class Body(bytes):
    """What the checks see of a body of which they do not see all that was transferred; its length is that of the whole."""

    size = 0

    def __len__(self) -> int:
        return self.size


def plain(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The body without its coding, if that is gzip or deflate: at most what is kept of one, and with the length of what was
    transferred. One in another coding, or broken, stays as it is."""
    coding = next((value for name, value in headers if name.lower() == b"content-encoding"), b"")
    for bits in _FORMATS.get(coding.strip().lower(), ()):
        with suppress(zlib.error):
            found = Body(zlib.decompressobj(bits).decompress(bytes(body), CHECKED_BODY_BYTES_MAX))
            found.size = len(body)
            return found
    return body


class Collector:
    """Parser callbacks beside those of the connection: collects one response at a time."""

    __slots__ = ("_body", "_checks", "_headers", "_kept", "_size")

    def __init__(self, checks: Compiled) -> None:
        self._checks = checks
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._kept = self._size = 0

    def attach(self, callbacks: Any) -> None:
        """Have `callbacks` hand over what the checks need, and no more: each call from the parser costs."""
        if self._checks.needs_headers or self._checks.needs_body:  # of a body its coding
            callbacks.on_header = self.header
        if self._checks.needs_body:
            callbacks.on_body = self.body

    def header(self, name: bytes, value: bytes) -> None:
        if len(self._headers) < CHECKED_HEADERS_MAX:
            self._headers.append((name, value))

    def take_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """All headers of an answer to a HEAD."""
        self._headers = headers[:CHECKED_HEADERS_MAX]

    def body(self, data: bytes) -> None:
        self._size += len(data)
        if self._kept < CHECKED_BODY_BYTES_MAX:
            data = data[: CHECKED_BODY_BYTES_MAX - self._kept]
            self._kept += len(data)
            self._body.append(data)

    def clear(self) -> None:
        """Another response begins; or what came was only informational."""
        self._headers = []
        self._body.clear()
        self._kept = self._size = 0

    def failures(self, status: int, latency_ms: float) -> list[str]:
        """The texts of the checks that fail on what was collected."""
        body = b"".join(self._body)
        if self._size > self._kept:
            body = Body(body)
            body.size = self._size
        return failures(self._checks, status, self._headers, plain(self._headers, body), latency_ms)
