"""The node's side of its engines: starts them, tells them what to run, hands on their reports.

There are two kinds of engine, and as many of each as the node is told to have, started with the first share they are for:
the fast one for plain HTTP/1.1, the exchange engine for everything else. A share goes to one kind as a whole.

Crash-only: an engine that ends by itself takes `EnginePool.run` down with `EngineDied`, and the node with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from ha_stress import log
from ha_stress.base.errors import HaStressError
from ha_stress.base.limits import ENGINE_REPORTS_UNREAD_MAX
from ha_stress.engines import control
from ha_stress.engines.exchange.reasons import first_of
from ha_stress.engines.named import figures_of, histograms_of
from ha_stress.engines.process import EngineProcess, Kind, kind_of, start
from ha_stress.tasks.digests import digests_of
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.ledger import Counters
from ha_stress.tasks.schedule import TaskShare

_log = log.get(__name__)

#: How long `on_stall` may take before the engine is told to go on; below the engine's own patience of 2 s.
ON_STALL_TIMEOUT_S: Final = 1.5
#: How often a node tells working engines that it lives. One that is silent may have been suspended alone: its share is then
#: given to others, and its engines must not go on (`silent_s` of the settings says after how long they hold).
ALIVE_PERIOD_S: Final = 0.2
#: How long an engine may take to end once its socket is closed.
END_TIMEOUT_S: Final = 2.0


class EngineDied(HaStressError):
    """An engine process ended although its node did not ask for it; its unreported arrivals are uncovered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """What one engine accounted for in one revision of one task since its last report about it.

    `second` is the Unix second at which it was cut, `warm_up` whether all of it was due in the warm-up. The histograms are
    HdrHistogram V2 blobs in microseconds, of completed requests only (failures are in the counters). Exchange engines are
    numbered after the fast ones. `requests` are the figures by name, where there are several.
    """

    engine: int
    task: str
    revision: int
    second: int
    warm_up: bool
    counters: Counters
    response_us: bytes
    service_us: bytes
    requests: Mapping[str, RequestFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """The first failure of its kind in an engine, for whoever wrote the task: in a line, and all there is to say of it."""

    task: str
    kind: str
    cause: str
    text: str


def _nothing() -> None:
    pass


def _log_complaint(complaint: Complaint) -> None:
    _log.warning("a task has failures", task=complaint.task, kind=complaint.kind, problem=complaint.cause)


class EnginePool:
    """`reports` must be read all the time; a slow reader makes the engines report less often, nothing is lost.

    `on_stall` is awaited after an engine did not run for over a second (SIGSTOP, a suspended machine): its share may
    have been handed over meanwhile, so read the assignment again and `apply` it. The engine holds its arrivals until
    that returns, for at most ON_STALL_TIMEOUT_S. `settings` are given to every engine: {"allow": ["127.0.0.0/8", ...],
    "silent_s": 2.0}; an engine that hears nothing of this process for `silent_s` holds its arrivals likewise, until it does.
    """

    def __init__(
        self, engines: int, on_stall: Callable[[], Awaitable[None]], settings: Mapping[str, Any] | None = None
    ) -> None:
        if engines < 1:
            raise ValueError("a pool has at least one engine")
        self._count = engines
        self._on_stall = on_stall
        self._settings = dict(settings or {})
        #: Called whenever an engine says that it has, or has no more, something to do: `idle` may have changed.
        self.on_idle: Callable[[], None] = _nothing
        #: Called with what an engine says about failures.
        self.on_complaint: Callable[[Complaint], None] = _log_complaint
        self._engines: list[EngineProcess] = []
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
                await self._tell_alive()
        except BaseExceptionGroup as group:
            died, others = group.split(EngineDied)
            if died is None or others is not None:
                raise
            raise first_of(died) from None
        finally:
            self._nursery = None
            await self._end()

    async def apply(self, shares: Sequence[TaskShare], blobs: Mapping[str, bytes] | None = None) -> None:
        """Run exactly these shares. Idempotent; `run` must be running. `blobs` are the stored files that the shares name, by
        digest; one that is missing makes the arrivals that need it fail."""
        by_kind = {kind: [share for share in shares if kind_of(share) is kind] for kind in Kind}
        for kind, mine in by_kind.items():
            if mine:
                await self._ensure_started(kind)
        if not self._engines:
            return
        self._number += 1
        for kind, mine in by_kind.items():
            message = {"t": "apply", "n": self._number, "shares": [control.share_to_plain(share) for share in mine]}
            packed = control.frame(message)
            named = frozenset().union(*map(digests_of, mine))
            needed = {digest: data for digest, data in (blobs or {}).items() if digest in named}
            for engine in self._engines:
                if engine.kind is kind:
                    engine.tell_apply(packed, needed)

    async def _ensure_started(self, kind: Kind) -> None:
        """Engines start with the first work for them, so that an idle node stays small."""
        async with self._starting:
            assert self._nursery is not None, "apply needs a running pool"
            running = sum(engine.kind is kind for engine in self._engines)
            for index in range(running, self._count):  # from where a cancelled start left off
                engine = await start(kind, index, self._count, self._settings)
                self._engines.append(engine)
                self._nursery.start_soon(engine.write, name=f"engine {kind} {index} write")
                self._nursery.start_soon(self._read, engine, name=f"engine {kind} {index} read")

    async def _tell_alive(self) -> None:
        while True:
            await trio.sleep(ALIVE_PERIOD_S)
            for engine in self._engines:
                if engine.idle_after != self._number:
                    engine.tell_alive()

    async def _read(self, engine: EngineProcess) -> None:
        deframer = control.Deframer()
        while data := await engine.receive():
            for message in deframer.feed(data):
                await self._on_message(engine, message)
        with trio.move_on_after(END_TIMEOUT_S):
            await engine.process.wait()
        raise EngineDied(f"engine {engine.index} (pid {engine.process.pid}) ended, status {engine.process.returncode}")

    async def _on_message(self, engine: EngineProcess, message: dict[str, Any]) -> None:
        match message["t"]:
            case "report":
                await self._send_report.send(self._report(engine, message))
            case "idle":
                engine.idle_after = message["n"] if message["idle"] else -1
                self.on_idle()
            case "stalled":
                assert self._nursery is not None
                self._nursery.start_soon(self._after_stall, engine)
            case "complaint":
                self.on_complaint(Complaint(**{name: message[name] for name in ("task", "kind", "cause", "text")}))
            case other:
                raise AssertionError(f"an engine said {other!r}")

    async def _after_stall(self, engine: EngineProcess) -> None:
        with trio.move_on_after(ON_STALL_TIMEOUT_S):
            await self._on_stall()
        engine.tell_go()

    def _report(self, engine: EngineProcess, message: dict[str, Any]) -> EngineReport:
        response_us, service_us = histograms_of(message)
        return EngineReport(
            engine=message["engine"] + (self._count if engine.kind is Kind.EXCHANGE else 0),
            task=message["task"],
            revision=message["revision"],
            second=message["second"],
            warm_up=message["warm_up"],
            counters=Counters(**message["counters"]),
            response_us=response_us,
            service_us=service_us,
            requests=figures_of(message),
        )

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
