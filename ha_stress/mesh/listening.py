"""A listening socket, as every server of ours opens it."""

from __future__ import annotations

import trio

from ha_stress.base.addresses import endpoint
from ha_stress.base.errors import ConfigError


async def listening(
    host: str, port: int, *, what: str = "the mesh", cure: str = ""
) -> tuple[list[trio.SocketListener], int]:
    """Listeners of `host`, and the port that was asked for or, for 0, found. ConfigError if `what` cannot listen there;
    `cure` says what to choose instead."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{what} cannot listen on {endpoint(host, port)}: {reason}" + (f"; {cure}" if cure else "")
        ) from None
    if port == 0:  # a name with two addresses would get two ports: one is enough
        for other in listeners[1:]:
            await other.aclose()
        del listeners[1:]
    bound: int = listeners[0].socket.getsockname()[1]
    return listeners, bound
