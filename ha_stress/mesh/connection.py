"""One websocket between two processes of the cluster, carrying `wire` messages.

Everything is bounded: a message in size, a send and a close in time. A broken connection is never repaired here; the owner
dials again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import trio
import trio_websocket
import wsproto.utilities

from ha_stress import log
from ha_stress.base.errors import MeshUnavailable, ProtocolError
from ha_stress.base.limits import MESH_BAD_MESSAGES_MAX, MESH_MESSAGE_BYTES_MAX
from ha_stress.wire.codec import decode_message, encode
from ha_stress.wire.messages import Message

_log = log.get(__name__)

#: A message fits many times into the buffers of the kernel: who cannot take one for this long does not read.
SEND_TIMEOUT_S: Final = 1.0
#: The goodbye is a courtesy.
CLOSE_TIMEOUT_S: Final = 0.5
PATH: Final = "/mesh"

_BROKEN = (
    trio_websocket.ConnectionClosed,
    wsproto.utilities.LocalProtocolError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)


class Connection:
    """Sends and receives messages. Several tasks may send; one receives."""

    def __init__(self, websocket: Any, stream: trio.SocketStream, peer: str) -> None:
        self._websocket = websocket
        self._stream = stream
        self.peer = peer
        self._bad_messages = 0  # in a row

    async def send(self, message: Message) -> None:
        """Send one message. MeshUnavailable, and the connection is dropped, if it is not taken within SEND_TIMEOUT_S.

        Being cancelled while sending drops the connection too.
        """
        data = encode(message)
        if len(data) > MESH_MESSAGE_BYTES_MAX:
            raise ProtocolError(f"a {type(message).__name__} of {len(data)} bytes is over the limit of a mesh message")
        try:
            with trio.move_on_after(SEND_TIMEOUT_S) as patience:
                await self._websocket.send_message(data)
        except _BROKEN:
            raise MeshUnavailable(f"{self.peer} has closed the connection") from None
        except trio.Cancelled:
            # A message that was sent in part makes the rest of the stream unreadable.
            await trio.aclose_forcefully(self._stream)
            raise
        if patience.cancelled_caught:
            await trio.aclose_forcefully(self._stream)
            raise MeshUnavailable(f"{self.peer} did not take a message within {SEND_TIMEOUT_S:g} s")

    async def receive(self) -> Message:
        """The next message. MeshUnavailable once the connection is closed, by whomever; ProtocolError on bad bytes."""
        try:
            data = await self._websocket.get_message()
        except _BROKEN:
            raise MeshUnavailable(f"{self.peer} has closed the connection") from None
        try:
            if not isinstance(data, bytes):
                raise ProtocolError(f"{self.peer} sent text, not a message")
            message = decode_message(data)
        except ProtocolError:
            self._bad_messages += 1
            if self._bad_messages > MESH_BAD_MESSAGES_MAX:
                await trio.aclose_forcefully(self._stream)
                raise MeshUnavailable(f"{self.peer} says nothing that is understood; it was cut off") from None
            raise
        self._bad_messages = 0
        return message

    async def aclose(self) -> None:
        """Say goodbye and close, within CLOSE_TIMEOUT_S. May be called again."""
        try:
            with trio.move_on_after(CLOSE_TIMEOUT_S):
                await self._websocket.aclose()
        except _BROKEN:
            _log.debug("the other side was faster", peer=self.peer)
        finally:
            await trio.aclose_forcefully(self._stream)


class Reader:
    """Stands in for the nursery that trio-websocket starts its reader in.

    An error of the reader belongs to its connection and must not end the server; and without a reader a handshake would
    wait for ever, so the end of the reader ends the handshake.
    """

    def __init__(self, nursery: trio.Nursery, handshake: trio.CancelScope) -> None:
        self._nursery = nursery
        self._handshake = handshake
        self.problem: Exception | None = None

    def start_soon(self, reader: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, reader)

    async def _run(self, reader: Callable[[], Awaitable[None]]) -> None:
        try:
            await reader()
        except Exception as error:  # noqa: BLE001  whatever the peer's bytes provoked; `receive` reports the end
            self.problem = error
        finally:
            self._handshake.cancel()


Handshake = Callable[[Any, trio.SocketStream], Awaitable[Any]]


@asynccontextmanager
async def opened(
    stream: trio.SocketStream, peer: str, handshake: Handshake, timeout_s: float
) -> AsyncIterator[Connection]:
    """Run `handshake(nursery, stream)`, which returns a websocket, and keep the connection for the block.

    MeshUnavailable if there is no websocket after `timeout_s`. Errors of the block come out as they are, in no group.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            scope = trio.CancelScope(deadline=trio.current_time() + timeout_s)
            reader = Reader(nursery, scope)
            websocket = None
            with scope, suppress(*_BROKEN):
                websocket = await handshake(reader, stream)
            if websocket is None:
                raise no_handshake(peer, reader.problem)
            connection = Connection(websocket, stream, peer)
            try:
                yield connection
            finally:
                await connection.aclose()
        except Exception as error:  # noqa: BLE001  raised again below, outside of the nursery
            failure = error
        finally:
            nursery.cancel_scope.cancel()
            await trio.aclose_forcefully(stream)
    if failure is not None:
        raise failure


def no_handshake(peer: str, problem: Exception | None) -> MeshUnavailable:
    """Why a peer that took the connection did not become a websocket."""
    return refused_by(peer, problem.status_code if isinstance(problem, trio_websocket.ConnectionRejected) else None)


def refused_by(peer: str, status: int | None) -> MeshUnavailable:
    """The same by the HTTP status of its refusal; None if it did not even answer so much."""
    if status in (401, 403):
        return MeshUnavailable(f"{peer} refused our secret", refused_secret=True)
    if status is not None:
        return MeshUnavailable(f"{peer} refused the websocket with status {status}")
    return MeshUnavailable(f"{peer} took the connection and then did not answer as a member of the mesh")
