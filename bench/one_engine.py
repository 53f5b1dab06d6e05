"""One engine on one core behind the real pool, with what the benches ask of it. This process is the node's side: it reads a
report a second, and is woken by the engine alone, as a poll would take time from the server, whose core this is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import trio
import trio.testing

from ha_stress.engines.pool import EnginePool, EngineReport
from ha_stress.tasks.schedule import Part, TaskShare

START_TIMEOUT_S = 15.0


class OneEngine:
    """`reports` are all that came; `process` is the engine's."""

    def __init__(self, pool: EnginePool, reports: list[EngineReport]) -> None:
        self._pool = pool
        self.reports = reports

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self._pool.pids[0])

    async def run(self, share: TaskShare, within_s: float) -> None:
        """Until all of it is accounted for; trio.TooSlowError if that takes longer."""
        await self._pool.apply([share])
        with trio.fail_after(within_s):
            while not self._pool.idle:
                changed = trio.Event()
                self._pool.on_idle = changed.set
                await changed.wait()
        await trio.testing.wait_all_tasks_blocked()  # the last reports came before the news that nothing is left


@asynccontextmanager
async def one_engine(core: int, first: TaskShare) -> AsyncIterator[OneEngine]:
    """An engine of the kind that `first` needs, which it has run already, pinned to `core`."""
    reports: list[EngineReport] = []
    pool = EnginePool(1, trio.lowlevel.checkpoint)

    async def collect() -> None:
        async for report in pool.reports:
            reports.append(report)  # noqa: PERF401  the channel never ends

    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        nursery.start_soon(collect)
        engine = OneEngine(pool, reports)
        await engine.run(first, START_TIMEOUT_S)
        engine.process.cpu_affinity([core])
        yield engine
        nursery.cancel_scope.cancel()


def rate_part(rate: float, seconds: float) -> Part:
    """All of an open model; nothing with 0 seconds."""
    return Part(revision=1, at_s=0.0, rate=rate, modulus=1, slots=(0,), limit=round(rate * seconds))


def users_part(users: int, seconds: float) -> Part:
    """All of a closed model."""
    slots = tuple(range(users))
    return Part(revision=1, at_s=0.0, rate=0.0, modulus=users, slots=slots, limit=0, users=users, until_s=seconds)
