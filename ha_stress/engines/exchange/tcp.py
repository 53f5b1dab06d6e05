"""Raw TCP: send the body, read until the answer's end."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import trio

from ha_stress.base.limits import ANSWER_BYTES_MAX
from ha_stress.engines import failures
from ha_stress.engines.clock import now
from ha_stress.engines.exchange.arrival import Arrival
from ha_stress.engines.exchange.reach import Reach, Traffic, Wire
from ha_stress.engines.exchange.reasons import Failed
from ha_stress.engines.exchange.verdicts import settle
from ha_stress.tasks.checking import Compiled
from ha_stress.tasks.spec import HttpRequest

_NONE: Final = b""
#: What the kernel takes in one go. While more than that is sent the answer is read: a target that answers as it reads stops
#: reading once nobody takes its answer.
SENT_AT_ONCE_BYTES: Final = 1 << 16


class TcpExchange:
    """`body` is sent on an idle connection, or a new one; the answer ends with `expect`, or, if that is empty, with the
    first bytes that come. Without a body each arrival opens a connection, waits for `expect` if there is one, and closes.

    Bytes that arrived unasked on an idle connection are thrown away: they belong to the answer before.
    """

    def __init__(self, request: HttpRequest, body: bytes, checks: Compiled, reach: Reach, traffic: Traffic) -> None:
        parts = urlsplit(request.url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._body = body
        self._expect = request.expect.encode()
        self._checks = checks
        self._reach = reach
        self._traffic = traffic
        self._idle: list[Wire] = []

    async def run(self, arrival: Arrival) -> None:
        since_s = None if self._body else now()
        wire = self._take_idle() or await self._reach.connect(self._host, self._port, self._traffic)
        try:
            arrival.begin(since_s)
            answer = await self._ask(wire)
        except BaseException:
            wire.close()
            raise
        settle(arrival, self._checks, body=answer)
        if self._body and not wire.closed:
            self._idle.append(wire)
        else:
            wire.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> Wire | None:
        while self._idle:
            wire = self._idle.pop()
            while unasked := wire.pending():
                self._traffic.bytes_in += len(unasked)
            if unasked is not None:
                return wire
            wire.close()
        return None

    async def _ask(self, wire: Wire) -> bytes:
        if not self._body:
            return await self._answer(wire) if self._expect else _NONE
        if len(self._body) <= SENT_AT_ONCE_BYTES:
            await wire.send_all(self._body)
            return await self._answer(wire)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, wire)
            answer = await self._answer(wire)
            nursery.cancel_scope.cancel()
        return answer

    async def _send(self, wire: Wire) -> None:
        """All of the body; if the answer is there before, the connection cannot be used again."""
        try:
            await wire.send_all(self._body)
        except trio.Cancelled:
            wire.close()
            raise

    async def _answer(self, wire: Wire) -> bytes:
        expect, answer = self._expect, bytearray()
        while True:
            data = await wire.receive_some()
            if not data:
                raise Failed(failures.CLOSED, "the target closed the connection before its answer was complete")
            begin = max(0, len(answer) - len(expect))
            answer += data
            if not expect or answer.find(expect, begin) >= 0:
                return bytes(answer)
            if len(answer) > ANSWER_BYTES_MAX:
                raise Failed(failures.TOO_LARGE, f"more than {ANSWER_BYTES_MAX} bytes without {expect!r}")
