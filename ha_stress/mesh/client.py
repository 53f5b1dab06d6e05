"""Dialling a member of the mesh."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio_websocket

from ha_stress.base.addresses import endpoint
from ha_stress.base.errors import MeshUnavailable
from ha_stress.base.limits import MESH_MESSAGE_BYTES_MAX
from ha_stress.mesh.connection import PATH, Connection, opened


@asynccontextmanager
async def connect_mesh(host: str, port: int, secret: str, *, connect_timeout_s: float) -> AsyncIterator[Connection]:
    """Dial, prove that we know the secret, and keep the connection for the block.

    MeshUnavailable if that does not succeed within `connect_timeout_s`; its `refused` is True only if the host itself said
    that nothing listens on the port. Timeouts, unreachable hosts and a wrong secret are not that.
    """
    peer = endpoint(host, port)
    deadline = trio.current_time() + connect_timeout_s
    stream = await dial_stream(host, port, peer, connect_timeout_s)

    async def handshake(nursery: Any, stream: trio.SocketStream) -> Any:
        return await trio_websocket.wrap_client_stream(
            nursery,
            stream,
            peer,
            PATH,
            extra_headers=[(b"Authorization", f"Bearer {secret}".encode())] if secret else [],
            max_message_size=MESH_MESSAGE_BYTES_MAX,
        )

    left_s = max(0.0, deadline - trio.current_time())
    async with opened(stream, peer, handshake, left_s) as connection:
        yield connection


async def dial_stream(host: str, port: int, peer: str, timeout_s: float) -> trio.SocketStream:
    """A TCP connection, or MeshUnavailable as `connect_mesh` raises it."""
    try:
        with trio.move_on_after(timeout_s):
            return await trio.open_tcp_stream(host, port)  # sets TCP_NODELAY
    except OSError as error:
        causes = list(_causes(error))
        if all(isinstance(cause, ConnectionRefusedError) for cause in causes):
            raise MeshUnavailable(f"nothing listens on {peer}", refused=True) from None
        raise MeshUnavailable(f"{peer} cannot be reached: {causes[0]}") from None
    raise MeshUnavailable(f"{peer} did not answer within {timeout_s:g} s")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors of all addresses that were tried; trio puts them behind one OSError."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _causes(part)
    elif isinstance(error.__cause__, OSError | BaseExceptionGroup):
        yield from _causes(error.__cause__)
    else:
        yield error
