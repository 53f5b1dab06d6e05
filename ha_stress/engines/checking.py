"""What of a response is kept for its checks: only what they look at, and never more than a bound."""

from __future__ import annotations

from typing import Any

from ha_stress.base.limits import CHECKED_BODY_BYTES_MAX, CHECKED_HEADERS_MAX
from ha_stress.tasks.checking import Compiled, failures


class Body(bytes):
    """The beginning of a body that is too long to be kept; its length is that of the whole."""

    size = 0

    def __len__(self) -> int:
        return self.size


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
        if self._checks.needs_headers:
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
        return failures(self._checks, status, self._headers, body, latency_ms)
