"""How late this process' loop is: what a heartbeat may have to wait for before anybody looks at it.

A loop turns: it waits for the kernel until its next timer is due, then runs every task that is ready. The lag of one turn is
how much too late the wait ended (the process was ready to run and was not run) and how long the tasks then took (one of
them blocked, or was not run). Every turn is measured, so no worst value is missed between two samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import trio

#: The value is of the last one to two periods; who reads it once a period misses none.
PERIOD_S: Final = 1.0


class LoopLag(trio.abc.Instrument):
    """`trio.lowlevel.add_instrument` switches it on, for the loop that it is called in. Costs a microsecond a turn."""

    def __init__(self, period_s: float = PERIOD_S, clock: Callable[[], float] = time.perf_counter) -> None:
        self._period_s = period_s
        self._clock = clock
        self._period_began = clock()
        self._woke: float | None = None  # the turn in which it is switched on began before it
        self._due = float("inf")
        self._late_s = 0.0
        self._worst_s = self._worst_before_s = 0.0

    @property
    def worst_s(self) -> float:
        """Seconds; the worst of this period so far and of the one before it."""
        return max(self._worst_s, self._worst_before_s)

    def before_io_wait(self, timeout: float) -> None:
        now = self._clock()
        if now - self._period_began >= self._period_s:
            self._period_began = now
            self._worst_before_s, self._worst_s = self._worst_s, 0.0
        if self._woke is not None:
            self._worst_s = max(self._worst_s, self._late_s + now - self._woke)
        self._due = now + timeout

    def after_io_wait(self, timeout: float) -> None:
        self._woke = self._clock()
        self._late_s = max(0.0, self._woke - self._due)
