"""The node's side of its engines: starts them, tells them what to run, hands on their reports.

Crash-only: an engine that ends by itself takes `EnginePool.run` down with `EngineDied`, and the node with it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio

from ha_stress.base.errors import HaStressError
from ha_stress.base.limits import ENGINE_REPORTS_UNREAD_MAX
from ha_stress.engines import control
from ha_stress.tasks.ledger import Counters
from ha_stress.tasks.schedule import TaskShare

#: How long `on_stall` may take before the engine is told to go on; below the engine's own patience of 2 s.
ON_STALL_TIMEOUT_S: Final = 1.5
#: How long an engine may take to end once its socket is closed.
END_TIMEOUT_S: Final = 2.0


class EngineDied(HaStressError):
    """An engine process ended although its node did not ask for it; its unreported arrivals are uncovered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """What one engine accounted for in one revision of one task since its last report about it.

    `second` is the Unix second at which it was cut; the histograms are HdrHistogram V2 blobs in microseconds, of
    completed requests only (failures are in the counters).
    """

    engine: int
    task: str
    revision: int
    second: int
    counters: Counters
    response_us: bytes
    service_us: bytes


def _nothing() -> None:
    pass


class EnginePool:
    """`reports` must be read all the time; a slow reader makes the engines report less often, nothing is lost.

    `on_stall` is awaited after an engine did not run for over a second (SIGSTOP, a suspended machine): its share may
    have been handed over meanwhile, so read the assignment again and `apply` it. The engine holds its arrivals until
    that returns, for at most ON_STALL_TIMEOUT_S.
    """

    def __init__(self, engines: int, on_stall: Callable[[], Awaitable[None]]) -> None:
        if engines < 1:
            raise ValueError("a pool has at least one engine")
        self._count = engines
        self._on_stall = on_stall
        #: Called whenever an engine says that it has, or has no more, something to do: `idle` may have changed.
        self.on_idle: Callable[[], None] = _nothing
        self._engines: list[_Engine] = []
        self._nursery: trio.Nursery | None = None
        self._number = 0
        self._starting = trio.Lock()
        self._send_report, self.reports = trio.open_memory_channel[EngineReport](ENGINE_REPORTS_UNREAD_MAX)

    @property
    def idle(self) -> bool:
        """Nothing is outstanding in any engine after the last `apply`. Its last reports may still wait in `reports`."""
        return all(engine.idle_after == self._number for engine in self._engines)

    @property
    def pids(self) -> tuple[int, ...]:
        """The engine processes; none before the first `apply` that has something to run."""
        return tuple(engine.process.pid for engine in self._engines)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; EngineDied if an engine ends. No engine is left when this has returned."""
        try:
            async with self._send_report, trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()
        except BaseExceptionGroup as group:
            died, others = group.split(EngineDied)
            if died is None or others is not None:
                raise
            raise _first(died) from None
        finally:
            self._nursery = None
            await self._end()

    async def apply(self, shares: Sequence[TaskShare]) -> None:
        """Run exactly these shares. Idempotent; `run` must be running."""
        if not shares and not self._engines:
            return
        await self._ensure_started()
        self._number += 1
        message = {"t": "apply", "n": self._number, "shares": [control.share_to_plain(share) for share in shares]}
        packed = control.frame(message)
        for engine in self._engines:
            engine.tell_apply(packed)

    async def _ensure_started(self) -> None:
        """Engines start with the first work, so that an idle node stays small."""
        async with self._starting:
            assert self._nursery is not None, "apply needs a running pool"
            for index in range(len(self._engines), self._count):  # from where a cancelled start left off
                engine = await _start(index, self._count)
                self._engines.append(engine)
                self._nursery.start_soon(engine.write, name=f"engine {engine.index} write")
                self._nursery.start_soon(self._read, engine, name=f"engine {engine.index} read")

    async def _read(self, engine: _Engine) -> None:
        deframer = control.Deframer()
        while data := await engine.receive():
            for message in deframer.feed(data):
                await self._on_message(engine, message)
        with trio.move_on_after(END_TIMEOUT_S):
            await engine.process.wait()
        raise EngineDied(f"engine {engine.index} (pid {engine.process.pid}) ended, status {engine.process.returncode}")

    async def _on_message(self, engine: _Engine, message: dict[str, Any]) -> None:
        match message["t"]:
            case "report":
                await self._send_report.send(_report(message))
            case "idle":
                engine.idle_after = message["n"] if message["idle"] else -1
                self.on_idle()
            case "stalled":
                assert self._nursery is not None
                self._nursery.start_soon(self._after_stall, engine)
            case other:
                raise AssertionError(f"an engine said {other!r}")

    async def _after_stall(self, engine: _Engine) -> None:
        with trio.move_on_after(ON_STALL_TIMEOUT_S):
            await self._on_stall()
        engine.tell_go()

    async def _end(self) -> None:
        """Close the sockets, which ends the engines; whoever has not ended by the deadline is killed."""
        for engine in self._engines:
            engine.sock.close()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(END_TIMEOUT_S):
                for engine in self._engines:
                    await engine.process.wait()
            for engine in self._engines:
                if engine.process.poll() is None:
                    engine.process.kill()
                    await engine.process.wait()


class _Engine:
    """One engine process and what it has not been told yet: at most the newest desired state, and a `go`."""

    def __init__(self, index: int, process: trio.Process, sock: trio.socket.SocketType) -> None:
        self.index = index
        self.process = process
        self.sock = sock
        self.idle_after = 0
        self._apply = b""
        self._go = False
        self._news = trio.Event()

    def tell_apply(self, packed: bytes) -> None:
        self._apply = packed
        self._news.set()

    def tell_go(self) -> None:
        self._go = True
        self._news.set()

    async def write(self) -> None:
        """Send what there is to tell, always the state before the go."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            data, self._apply = self._apply, b""
            if self._go:
                self._go = False
                data += control.frame({"t": "go"})
            try:
                view = memoryview(data)
                while view:
                    view = view[await self.sock.send(view) :]
            except OSError:
                return  # the engine has ended; its reader says so

    async def receive(self) -> bytes:
        try:
            return await self.sock.recv(1 << 16)
        except OSError:
            return b""


async def _start(index: int, count: int) -> _Engine:
    ours, theirs = socket.socketpair()
    try:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "ha_stress.engines.child", str(theirs.fileno()), str(index), str(count)],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    return _Engine(index, process, trio.socket.from_stdlib_socket(ours))


def _report(message: dict[str, Any]) -> EngineReport:
    return EngineReport(
        engine=message["engine"],
        task=message["task"],
        revision=message["revision"],
        second=message["second"],
        counters=Counters(**message["counters"]),
        response_us=message["response_us"],
        service_us=message["service_us"],
    )


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
