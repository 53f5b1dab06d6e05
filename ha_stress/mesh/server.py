"""Listening for members of the mesh."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trio_websocket

from ha_stress import log
from ha_stress.base.errors import MeshUnavailable, ProtocolError
from ha_stress.base.limits import MESH_CONNECTIONS_MAX, MESH_MESSAGE_BYTES_MAX
from ha_stress.mesh.connection import Connection, opened
from ha_stress.mesh.listening import listening

_log = log.get(__name__)

#: A client of ours has sent its request within a round trip; a port scanner never does.
HANDSHAKE_TIMEOUT_S = 2.0

Handler = Callable[[Connection], Awaitable[None]]


async def serve_mesh(
    host: str,
    port: int,
    secret: str,
    handler: Handler,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until cancelled; `handler(connection)` runs for each that knows the secret ("" lets everybody in).

    The connection is closed when the handler returns. MeshUnavailable and ProtocolError of a handler end its connection;
    any other error of a handler ends the server. Starts with the port. ConfigError if it cannot listen.
    """
    listeners, bound = await listening(host, port)
    accepted = _Accepted(secret, handler)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, accepted.serve, listeners)
        task_status.started(bound)


class _Accepted:
    """What happens to an accepted TCP connection."""

    def __init__(self, secret: str, handler: Handler) -> None:
        self._expected = f"Bearer {secret}".encode() if secret else b""
        self._handler = handler
        self._open = 0
        self._full = False  # said so already

    async def serve(self, stream: trio.SocketStream) -> None:
        peer = _name(stream)
        if self._open >= MESH_CONNECTIONS_MAX:
            if not self._full:
                _log.warning("too many mesh connections; more are refused", peer=peer, limit=MESH_CONNECTIONS_MAX)
            self._full = True
            await trio.aclose_forcefully(stream)
            return
        self._full = False
        self._open += 1
        try:
            async with opened(stream, peer, self._handshake, HANDSHAKE_TIMEOUT_S) as connection:
                await self._handler(connection)
        except MeshUnavailable as error:
            _log.debug("a mesh connection ended", peer=peer, problem=str(error))
        except ProtocolError as error:
            _log.warning("a mesh connection was dropped", peer=peer, problem=str(error))
        finally:
            self._open -= 1

    async def _handshake(self, nursery: Any, stream: trio.SocketStream) -> Any:
        request = await trio_websocket.wrap_server_stream(nursery, stream, max_message_size=MESH_MESSAGE_BYTES_MAX)
        if not self._may_enter(request.headers):
            await request.reject(401)
            raise ProtocolError("it does not know the secret")
        return await request.accept()

    def _may_enter(self, headers: list[tuple[bytes, bytes]]) -> bool:
        if not self._expected:
            return True
        given = [value for name, value in headers if name.lower() == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)


def _name(stream: trio.SocketStream) -> str:
    try:
        address = stream.socket.getpeername()
    except OSError:
        return "a peer that has left"
    return f"{address[0]}:{address[1]}"
