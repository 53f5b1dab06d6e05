"""What a request may cost before and while it is answered: bytes, time, structure, and a turn.

The node that answers may be the master: whatever callers do, its lease must be renewed in time. So a body is read into
bounded memory within a deadline, JSON that would keep the loop busy is refused before it is parsed, and only a few
requests at a time use the bus and the database. Probes need neither and never wait.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ha_stress.api import problems
from ha_stress.base.limits import (
    API_BODIES_BYTES_MAX,
    API_BODY_BYTES_MAX,
    API_STRUCTURE_BYTES_MAX,
    API_TURNS_MAX,
    API_WAITING_MAX,
)

#: From the first byte of a body to its last.
BODY_TIMEOUT_S: Final = 20.0
#: A caller has given up by then, or tries another node.
TURN_TIMEOUT_S: Final = 10.0
#: They answer from memory, or take their turns themselves.
_UNQUEUED: Final = ("/liveness", "/health", "/master", "/worker", "/events/stream", "/explain", "/doctor")

#: The inside of a JSON string. Possessive: linear whatever comes.
_INSIDE: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
#: A regular expression holds the interpreter while it runs: in pieces of this size about a millisecond.
_PIECE_BYTES: Final = 1 << 16
#: A larger body is looked at in a thread.
_AT_ONCE_BYTES: Final = 1 << 18


class _Refused(Exception):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class _Left(Exception):
    """The caller hung up in the middle of its request."""


class Gate:
    """ASGI middleware; see the module."""

    def __init__(
        self, app: ASGIApp, *, body_bytes_max: int = API_BODY_BYTES_MAX, body_timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        self.app = app
        self.body_bytes_max = body_bytes_max
        self.body_timeout_s = body_timeout_s
        self._held_bytes = 0
        self._turns = trio.CapacityLimiter(API_TURNS_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = bytearray()
        try:
            await self._read(receive, body)
            await self._answer(scope, receive, send, bytes(body))
        except _Refused as refused:
            # What is left of the request is not read: the connection cannot be used for another one.
            refusal = problems.problem(refused.status, refused.sentence, {"connection": "close"})
            await refusal(scope, receive, send)
        except _Left:
            return
        finally:
            self._held_bytes -= len(body)

    async def _read(self, receive: Receive, body: bytearray) -> None:
        with trio.move_on_after(self.body_timeout_s) as patience:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Left
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) + len(chunk) > self.body_bytes_max:
                    raise _Refused(413, f"the request is larger than {self.body_bytes_max} bytes")
                if self._held_bytes + len(chunk) > API_BODIES_BYTES_MAX:
                    raise _Refused(503, "too many large requests at once; try again")
                body += chunk
                self._held_bytes += len(chunk)
        if patience.cancelled_caught:
            raise _Refused(408, f"the request did not arrive within {self.body_timeout_s:g} s")
        look = partial(plain_enough, body)
        if not (look() if len(body) <= _AT_ONCE_BYTES else await trio.to_thread.run_sync(look)):
            raise _Refused(400, "the body has far more fields and items than any request needs")

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        if str(scope["path"]).endswith(_UNQUEUED):
            await self.app(scope, _replayed(body, receive), send)
            return
        me = object()
        await self._take_turn(me)
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._turns.release_on_behalf_of(me)

        async def sending(message: Message) -> None:
            release()  # the answer is complete; a caller that reads slowly keeps nobody from anything
            await send(message)

        try:
            await self.app(scope, _replayed(body, receive), sending)
        finally:
            release()

    async def _take_turn(self, me: object) -> None:
        if self._turns.statistics().tasks_waiting >= API_WAITING_MAX:
            raise _Refused(503, "too many requests at once; try again, or ask another node")
        with trio.move_on_after(TURN_TIMEOUT_S):
            await self._turns.acquire_on_behalf_of(me)
            return
        raise _Refused(503, f"this node could not turn to the request within {TURN_TIMEOUT_S:g} s; ask another node")


def plain_enough(body: bytes | bytearray) -> bool:
    """Whether a JSON document is cheap to parse whatever it says: few bytes of it are outside of strings.

    Itself cheap: it looks at as many strings as may stand in that many bytes, and no more.
    """
    outside, at = 0, 0
    while len(body) - at > API_STRUCTURE_BYTES_MAX - outside:
        opening = body.find(b'"', at)
        outside += (opening if opening >= 0 else len(body)) + 1 - at
        if outside > API_STRUCTURE_BYTES_MAX:
            return False
        if opening < 0:
            return True
        at = _after_string(body, opening + 1)
    return True


def _after_string(body: bytes | bytearray, at: int) -> int:
    """Where the string ends that goes on at `at`, its quote included; the end of the body if it never does."""
    while at < len(body):
        inside = _INSIDE.match(body, at, at + _PIECE_BYTES)
        end = inside.end() if inside else at
        if body[end : end + 1] == b'"':
            return end + 1
        at = end if end > at else len(body)  # nothing but half of an escape is left
    return at


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body again, for whoever parses it; after that what the connection says."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
