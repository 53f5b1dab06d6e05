"""Virtual time: a heap of what happens next, and the one source of chance. Equal times are ordered by a counter.

What happens to a process happens in one of its lives only: what was meant for an earlier one is void, and what falls into a
pause waits for its end. That is decided here, at the moment at which it is due.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sim.process import Process

#: When, which of equals, whose (None: the world's own), in which life, a timer or something from outside, what.
Entry = tuple[float, int, "Process | None", int, bool, Callable[..., object], tuple[Any, ...]]


class Timeline:
    """`now` is in virtual seconds since the start of the world."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.heap: list[Entry] = []
        self.number = count().__next__

    def at(self, when: float, call: Callable[..., object], *args: Any) -> None:
        """Call `call(*args)` at `when`, which is not in the past."""
        heappush(self.heap, (when, self.number(), None, 0, False, call, args))

    def after(self, delay_s: float, call: Callable[..., object], *args: Any) -> None:
        heappush(self.heap, (self.now + delay_s, self.number(), None, 0, False, call, args))

    def run_until(self, end: float) -> None:
        """Let everything happen that is due up to `end`."""
        heap = self.heap
        while heap:
            entry = heappop(heap)
            if entry[0] > end:
                heappush(heap, entry)
                break
            self.now, _, process, life, timer, call, args = entry
            if process is None:
                call(*args)
            elif process.life == life and process.alive:
                if process.paused:
                    process.waiting.append((timer, call, args))
                else:
                    call(*args)
        self.now = end
