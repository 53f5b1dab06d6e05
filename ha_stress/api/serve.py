"""Serve an application with Hypercorn inside our own nursery."""

from __future__ import annotations

import socket

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from hypercorn.typing import ASGIFramework

from ha_stress.base.errors import ConfigError

#: What a request may still take once the node is asked to stop; event streams end with it.
GRACE_S = 1.0


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; ConfigError says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(100)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise ConfigError(f"the API cannot listen on {host}:{port}: {reason}; choose another --api-port") from None
    return listener


async def serve(
    app: object,
    host: str,
    port: int,
    *,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` (gracefully) or cancelled (at once). `task_status` gets the port, which matters for port 0."""
    listener = bind(host, port)
    actual: int = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # Hypercorn owns the socket from here on
    config.accesslog = None
    config.errorlog = None  # our handlers log defects; Hypercorn's own lines would be of another shape
    config.graceful_timeout = GRACE_S
    config.keep_alive_timeout = 30.0
    config.h11_max_incomplete_size = 64 * 1024
    config.include_server_header = False
    trigger = (trio.Event() if stop is None else stop).wait
    framework: ASGIFramework = app  # type: ignore[assignment]
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
            await hypercorn_serve(framework, config, shutdown_trigger=trigger, task_status=task_status)
            nursery.cancel_scope.cancel()

        await nursery.start(run)
        task_status.started(actual)
