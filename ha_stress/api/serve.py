"""Serve an application with Hypercorn inside our own nursery.

Hypercorn speaks HTTP; accepting, counting and cutting connections is done here. It shields its writes from being
cancelled and gives them no deadline, so one caller that never reads would keep a node from stopping.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from hypercorn.utils import wrap_app

from ha_stress import log
from ha_stress.base.addresses import endpoint
from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import API_CONNECTIONS_MAX

_log = log.get("api")

#: What a request may still take once the node is asked to stop; event streams end with it.
GRACE_S: Final = 1.0
#: A caller that takes nothing of its answer for this long is gone.
SEND_TIMEOUT_S: Final = 10.0
_CHUNK_BYTES: Final = 1 << 17


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
        raise ConfigError(
            f"the API cannot listen on {endpoint(host, port)}: {reason}; choose another --api-port"
        ) from None
    return listener


class _Stream:
    """A connection as Hypercorn uses it, whose writes end one way or the other."""

    def __init__(self, stream: trio.SocketStream, send_timeout_s: float) -> None:
        self._stream = stream
        self._send_timeout_s = send_timeout_s
        self.socket = stream.socket
        self.receive_some = stream.receive_some
        self.send_eof = stream.send_eof
        self.aclose = stream.aclose

    async def send_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            with trio.move_on_after(self._send_timeout_s) as patience:
                await self._stream.send_all(rest[:_CHUNK_BYTES])
            if patience.cancelled_caught:
                self.abort()
                raise trio.BrokenResourceError("the caller does not read")
            rest = rest[_CHUNK_BYTES:]

    def abort(self) -> None:
        """Close at once; whoever reads or writes here is told."""
        self.socket.close()


class _Server(TCPServer):
    """Hypercorn's side of a connection. Left alone it would keep a closed one until its idle timeout."""

    _over = False

    async def _read_data(self) -> None:
        await super()._read_data()
        self._over = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if self._over and isinstance(event, Updated):
            return  # it would begin to wait for the next request
        await super().protocol_send(event)


class _Connections:
    """All open connections of one server."""

    def __init__(self, app: object, send_timeout_s: float) -> None:
        framework: ASGIFramework = app  # type: ignore[assignment]
        self._config = _config()
        self._app = wrap_app(framework, self._config.wsgi_max_body_size, "asgi")
        self._send_timeout_s = send_timeout_s
        self._open: set[_Stream] = set()
        self._full = False  # said so already
        self._closed = trio.Event()  # replaced at each close
        self.context = WorkerContext(None)

    async def serve(self, stream: trio.SocketStream) -> None:
        if len(self._open) >= API_CONNECTIONS_MAX:
            if not self._full:
                _log.warning("too many API connections; more are refused", limit=API_CONNECTIONS_MAX)
            self._full = True
            await trio.aclose_forcefully(stream)
            return
        self._full = False
        bounded = _Stream(stream, self._send_timeout_s)
        self._open.add(bounded)
        try:
            # Hypercorn needs of a stream what ours has.
            await _Server(self._app, self._config, self.context, ConnectionState({}), bounded)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  whatever a caller's bytes provoke ends its connection, not the node
            _log.warning("an API connection ended badly", problem=repr(error))
        finally:
            bounded.abort()
            self._open.discard(bounded)
            self._closed.set()

    async def until_none(self) -> None:
        while self._open:
            self._closed = trio.Event()
            await self._closed.wait()

    def abort(self) -> None:
        for stream in list(self._open):
            stream.abort()


async def serve(
    app: object,
    host: str,
    port: int,
    *,
    stop: trio.Event | None = None,
    send_timeout_s: float = SEND_TIMEOUT_S,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` (gracefully) or cancelled (at once). `task_status` gets the port, which matters for port 0."""
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(bind(host, port)))
    actual: int = listener.socket.getsockname()[1]
    connections = _Connections(app, send_timeout_s)
    async with trio.open_nursery() as handlers:
        try:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    partial(trio.serve_listeners, connections.serve, [listener], handler_nursery=handlers)
                )
                task_status.started(actual)
                await (trio.Event() if stop is None else stop).wait()
                accepting.cancel_scope.cancel()
            await connections.context.terminated.set()
            with trio.move_on_after(GRACE_S):
                await connections.until_none()
        finally:
            connections.abort()
            handlers.cancel_scope.cancel()


def _config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = None  # our handlers log defects; Hypercorn's own lines would be of another shape
    config.keep_alive_timeout = 30.0  # also the time that a request's headers may take
    config.h11_max_incomplete_size = 64 * 1024
    config.include_server_header = False
    return config
