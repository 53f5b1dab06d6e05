"""Which arrivals of a revision an engine owns, and when each is due. Pure.

Engine e of E owns the ordinals o = e, e + E, e + 2E, ... of its holder's part (see `tasks.schedule`). Stepping by E through
the holder's k slots visits at most k different slots before it repeats, so the distances between consecutive positions
form a short cycle that is computed once; after that an arrival costs one addition and one division.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import cycle, pairwise
from math import gcd, inf
from typing import Final

from ha_stress.tasks.schedule import Part, position_of

#: Stands for "no limit yet": an int, because comparing ints is faster than comparing an int with infinity.
_OPEN: Final = sys.maxsize


class Cursor:
    """One engine's way through one part. It only moves forward; `due_s` is when the next arrival is due, or infinity.

    `started_s` is the start of the task on the caller's clock; every time here is on that clock.
    """

    __slots__ = ("_begin_s", "_limit", "_next_distance", "_rate", "due_s", "position")

    def __init__(self, part: Part, *, engine: int, engines: int, started_s: float) -> None:
        self._begin_s = started_s + part.at_s
        self._rate = part.rate
        self._limit = _OPEN if part.limit is None else part.limit
        self.position = 0
        self._next_distance: Callable[[], int] = cycle((1,)).__next__
        if part.rate > 0 and part.slots:
            self.position = position_of(part.slots, part.modulus, engine)
            self._next_distance = cycle(_distances(part, engine, engines)).__next__
        else:
            self._rate = 0.0
        self.due_s = self._due()

    def _due(self) -> float:
        if self._rate <= 0 or self.position >= self._limit:
            return inf
        return self._begin_s + self.position / self._rate

    @property
    def exhausted(self) -> bool:
        """Whether no arrival can come any more: the revision is closed and all of it has been taken."""
        return self._limit != _OPEN and self.due_s == inf

    def take(self, now_s: float, most: int) -> list[float]:
        """When each of the next arrivals was due, oldest first: those due up to `now_s`, but no more than `most`."""
        due_s = self.due_s
        taken: list[float] = []
        if due_s > now_s:
            return taken
        position, limit, begin_s, rate, next_distance = (
            self.position,
            self._limit,
            self._begin_s,
            self._rate,
            self._next_distance,
        )
        while due_s <= now_s and most > 0:
            taken.append(due_s)
            most -= 1
            position += next_distance()
            due_s = begin_s + position / rate if position < limit else inf
        self.position = position
        self.due_s = due_s
        return taken

    def close_at(self, limit: int | None) -> None:
        """Lower the limit, or set the first one. What was taken stays taken, and a limit is never raised."""
        if limit is not None and limit < self._limit:
            self._limit = limit
            self.due_s = self._due()

    def close_here(self) -> None:
        """No arrival after those already taken."""
        self.close_at(self.position)


def _distances(part: Part, engine: int, engines: int) -> list[int]:
    """The distances between the positions of consecutive arrivals of this engine, over one period."""
    period = len(part.slots) // gcd(len(part.slots), engines)
    places = [position_of(part.slots, part.modulus, engine + step * engines) for step in range(period + 1)]
    return [after - before for before, after in pairwise(places)]
