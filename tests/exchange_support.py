"""What the tests of the exchange engine share: a pool with a running exchange engine, and servers in the test's own loop."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from trio_websocket import ConnectionClosed, serve_websocket

from ha_stress.engines.pool import Complaint, EnginePool
from ha_stress.tasks.ledger import Counters, add
from tests.engine_support import Rig, part, share, unused_port

Handler = Callable[[trio.SocketStream], Awaitable[None]]


class ExchangeRig(Rig):
    """With the books of each task, and what the engines complained of."""

    def __init__(self, pool: EnginePool) -> None:
        super().__init__(pool)
        self.complaints: list[Complaint] = []
        pool.on_complaint = self.complaints.append

    def of(self, task: str) -> Counters:
        return add(report.counters for report in self.reports if report.task == task)


@contextlib.asynccontextmanager
async def exchange_rig(
    engines: int = 1,
    on_stall: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[ExchangeRig]:
    """A pool whose exchange engines run already, so that the schedule of a test is kept from its first arrival on."""
    rig = ExchangeRig(EnginePool(engines, on_stall, settings))

    async def collect() -> None:
        async for report in rig.pool.reports:
            rig.reports.append(report)

    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pool.run)
        nursery.start_soon(collect)
        await rig.pool.apply([share(f"tcp://127.0.0.1:{unused_port()}", part(0, 0), task="warm")])
        await rig.until(lambda: rig.pool.idle)
        yield rig
        nursery.cancel_scope.cancel()


class Server:
    """Serves each connection with `handler`; counts them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0

    @property
    def tcp(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"


@contextlib.asynccontextmanager
async def tcp_server(handler: Handler) -> AsyncIterator[Server]:
    async with trio.open_nursery() as nursery:
        served: Server

        async def serve(stream: trio.SocketStream) -> None:
            served.connections += 1
            async with stream:
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await handler(stream)

        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        served = Server(listeners[0].socket.getsockname()[1])
        yield served
        nursery.cancel_scope.cancel()


async def echo(stream: trio.SocketStream) -> None:
    while data := await stream.receive_some(65_536):
        await stream.send_all(data)


async def silent(stream: trio.SocketStream) -> None:
    while await stream.receive_some(65_536):
        pass


async def hang_up(stream: trio.SocketStream) -> None:
    """Take something, say nothing, close. (With bytes unread the kernel would send a reset.)"""
    await stream.receive_some(65_536)
    await stream.send_eof()
    await silent(stream)


async def answer_and_end(stream: trio.SocketStream, answer: bytes) -> None:
    """Both in one packet, so that no further request can meet the end halfway: it would be lost, and rightly."""
    await stream.socket.send(answer, socket.MSG_MORE)
    stream.socket.shutdown(socket.SHUT_WR)
    await silent(stream)


async def reset(stream: trio.SocketStream) -> None:
    await stream.receive_some(65_536)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.asynccontextmanager
async def websocket_server(
    handler: Callable[[Any], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """`handler` gets the request for a WebSocket, which it accepts or rejects."""
    async with trio.open_nursery() as nursery:
        served: Server

        async def serve(request: Any) -> None:
            served.connections += 1
            with contextlib.suppress(ConnectionClosed):
                await handler(request)

        server = await nursery.start(partial(serve_websocket, serve, "127.0.0.1", 0, tls))
        served = Server(server.port)
        yield served
        nursery.cancel_scope.cancel()


async def ws_echo(request: Any) -> None:
    socket = await request.accept()
    while True:
        await socket.send_message(await socket.get_message())


@contextlib.asynccontextmanager
async def asgi_server(
    app: Any, certificate: tuple[Path, Path] | None = None, *, keep_alive_s: float = 5.0
) -> AsyncIterator[Server]:
    """Hypercorn: HTTP/1.1, HTTP/2 with prior knowledge, and both over TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # theirs from now on
    config.errorlog = None
    config.keep_alive_timeout = keep_alive_s
    if certificate is not None:
        config.keyfile, config.certfile = map(str, certificate)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(hypercorn_serve, app, config, shutdown_trigger=trio.sleep_forever))
        yield Server(port)
        nursery.cancel_scope.cancel()


async def versions(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with the version of HTTP and the request's body; /status/NNN with that status, /wait never."""
    if scope["type"] == "lifespan":
        while True:
            await send({"type": (await receive())["type"] + ".complete"})
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    path = str(scope["path"])
    if path == "/wait":
        await trio.sleep_forever()
    status = int(path.rpartition("/")[2]) if path.startswith("/status/") else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": scope["http_version"].encode() + b" " + body})


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A key and a certificate for localhost; skips where there is no openssl command."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return key, certificate
