"""What the engine's tests share: a pool that collects its reports, the counting target, and servers that misbehave."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import trio
import trio.testing

from ha_stress.engines.pool import EnginePool, EngineReport
from ha_stress.tasks.ledger import Counters, add
from ha_stress.tasks.schedule import Part, TaskShare
from ha_stress.tasks.spec import HttpRequest


class Rig:
    """A running pool and all that it reported."""

    def __init__(self, pool: EnginePool) -> None:
        self.pool = pool
        self.reports: list[EngineReport] = []

    def books(self, revision: int | None = None) -> Counters:
        return add(r.counters for r in self.reports if revision in (None, r.revision))

    async def warm(self) -> None:
        """Start the engines before the schedule of a test begins, so that a slow machine does not make it late."""
        await self.pool.apply([share("http://127.0.0.1:9/", part(0, 0), task="warm")])
        await self.until(lambda: self.pool.idle)

    async def until(self, condition: Callable[[], bool], within_s: float = 30.0) -> None:
        with trio.fail_after(within_s):
            while not condition():  # noqa: ASYNC110  the condition is outside this process
                await trio.sleep(0.01)

    async def settled(self, within_s: float = 15.0) -> Counters:
        """Wait until nothing is outstanding and every report has been read; returns the books."""
        await self.until(lambda: self.pool.idle, within_s)
        await self.until(lambda: self.pool.reports.statistics().current_buffer_used == 0)
        await trio.testing.wait_all_tasks_blocked()
        for report in self.reports:
            assert report.counters.intended == report.counters.started + report.counters.dropped
        return self.books()


@contextlib.asynccontextmanager
async def running_pool(
    engines: int = 1, on_stall: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint, *, warm: bool = True
) -> AsyncIterator[Rig]:
    rig = Rig(EnginePool(engines, on_stall))

    async def collect() -> None:
        async for report in rig.pool.reports:
            rig.reports.append(report)

    async with trio.open_nursery() as nursery:
        await nursery.start(rig.pool.run)
        nursery.start_soon(collect)
        if warm:
            await rig.warm()
        yield rig
        nursery.cancel_scope.cancel()


def part(rate: float, limit: int | None, *, revision: int = 1, at_s: float = 0.0, **more: Any) -> Part:
    slots: dict[str, Any] = {"modulus": 1, "slots": (0,)} | more
    return Part(revision=revision, at_s=at_s, rate=rate, limit=limit, **slots)


def share(
    url: str, *parts: Part, task: str = "t", in_s: float = 0.3, in_flight_max: int = 1024, **more: Any
) -> TaskShare:
    return TaskShare(
        task=task,
        request=HttpRequest(url=url, **more),
        in_flight_max=in_flight_max,
        started_at=time.time() + in_s,
        parts=parts,
    )


class TargetProcess:
    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url

    def counted(self) -> int:
        with urllib.request.urlopen(self.url + "/__count", timeout=5) as response:
            counted: int = json.load(response)["counted"]
            return counted


@contextlib.contextmanager
def target_process(*options: str) -> Iterator[TargetProcess]:
    process = subprocess.Popen([sys.executable, "-m", "ha_stress.target", *options], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield TargetProcess(process, json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        try:
            process.wait(5)
        finally:
            process.kill()  # does nothing to a process that has ended
            process.wait(5)
            process.stdout.close()


class RawServer:
    """Serves each connection in a thread with `serve(socket, number of the connection)`."""

    def __init__(
        self, serve: Callable[[socket.socket, int], None], wrap: Callable[[socket.socket], socket.socket], host: str
    ) -> None:
        self.listener = socket.create_server((host, 0), backlog=128)
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.connections = 0
        self.requests = 0
        self._serve, self._wrap = serve, wrap
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(sock, self.connections), daemon=True).start()

    def _one(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(10)
        with contextlib.suppress(OSError), contextlib.closing(self._wrap(sock)) as wrapped:
            self._serve(wrapped, number)


@contextlib.contextmanager
def raw_server(
    serve: Callable[[socket.socket, int], None],
    wrap: Callable[[socket.socket], socket.socket] = lambda sock: sock,
    host: str = "127.0.0.1",
) -> Iterator[RawServer]:
    server = RawServer(serve, wrap, host)
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()


def read_request(sock: socket.socket) -> bytes:
    """The next request's head, b"" at the end of the connection. Bodies are not read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            return b""
        head += byte
    return head


@functools.cache
def _taken() -> list[socket.socket]:
    """One port of 127.0.0.1 and, where there is one, of ::1. Held as long as this process lives."""
    for _ in range(20):
        sockets = [socket.socket(socket.AF_INET)]
        sockets[0].bind(("127.0.0.1", 0))
        try:
            sockets.append(socket.socket(socket.AF_INET6))
            sockets[1].bind(("::1", sockets[0].getsockname()[1]))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                for sock in sockets:
                    sock.close()
                continue
        return sockets
    raise AssertionError("no port is free in both families")


def unused_port() -> int:
    """A port on which nobody listens, nor ever will, to be dialled: it is taken. The same one each time."""
    port: int = _taken()[0].getsockname()[1]
    return port
