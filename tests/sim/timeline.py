"""Virtual time: a heap of what happens next, and the one source of chance. Equal times are ordered by a counter."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any


class Timeline:
    """`now` is in virtual seconds since the start of the world."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.happened = 0
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, call: Callable[..., object], *args: Any) -> None:
        """Call `call(*args)` at `when`, which is not in the past."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, call, args))

    def after(self, delay_s: float, call: Callable[..., object], *args: Any) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._count, call, args))

    def run_until(self, end: float) -> None:
        """Let everything happen that is due up to `end`."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, call, args = heapq.heappop(heap)
            self.happened += 1
            call(*args)
        self.now = end
