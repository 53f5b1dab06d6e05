"""Which arrivals of a revision an engine owns, and when each is due. Pure.

Engine e of E owns the ordinals o = e, e + E, e + 2E, ... of its holder's part (see `tasks.schedule`). Stepping by E through
the holder's k slots visits at most k different slots before it repeats, so the distances between consecutive positions
form a short cycle that is computed once; after that an arrival at a constant rate costs one addition and one division.
Under a profile the arrivals are computed some at a time (see `tasks.arrivals`), which costs about a microsecond each.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import cycle, pairwise
from math import gcd, inf
from typing import Final

from ha_stress.tasks.arrivals import Arrivals, arrivals_of
from ha_stress.tasks.schedule import Part, position_of

#: Stands for "no limit yet": an int, because comparing ints is faster than comparing an int with infinity.
_OPEN: Final = sys.maxsize
#: Arrivals of a profile that are computed at a time: enough to share the cost of beginning, too few to be felt.
AHEAD: Final = 128


class Cursor:
    """One engine's way through one part. It only moves forward; `due_s` is when the next arrival is due, or infinity.

    `started_s` is the start of the task on the caller's clock; every time here is on that clock. In the closed model there
    are no arrivals, and `due_s` is always infinite.
    """

    __slots__ = (
        "_ahead_s",
        "_arrivals",
        "_base",
        "_begin_s",
        "_cut",
        "_index",
        "_limit",
        "_next_distance",
        "_positions",
        "_rate",
        "due_s",
        "position",
    )

    def __init__(self, part: Part, *, engine: int, engines: int, started_s: float) -> None:
        self._begin_s = started_s + (part.at_s if part.profile is None else part.origin_s)
        self._rate = part.rate
        self._base = part.base
        self._limit = _OPEN if part.limit is None else part.limit
        self.position = 0
        self._next_distance: Callable[[], int] = cycle((1,)).__next__
        self._arrivals: Arrivals | None = None
        if part.slots and not part.users and (part.rate > 0 or part.profile is not None):
            self.position = position_of(part.slots, part.modulus, engine)
            self._next_distance = cycle(_distances(part, engine, engines)).__next__
            if part.profile is not None:
                self._arrivals = arrivals_of(part.profile, part.rate)
        else:
            self._rate = 0.0
        #: Under a profile: the next arrivals, how many of them have been taken, and whether they are the last ones.
        self._ahead_s: list[float] = []
        self._positions: list[int] = []
        self._index = 0
        self._cut = False
        self.due_s = self._due()

    def _due(self) -> float:
        """Of the arrival at `position`."""
        if self.position >= self._limit:
            return inf
        if self._arrivals is not None:
            return self._look_ahead(self._arrivals)
        return self._begin_s + self.position / self._rate if self._rate > 0 else inf

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
        if self._arrivals is not None:
            return self._take_ahead(self._arrivals, now_s, most)[0]
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

    def take_numbered(self, now_s: float, most: int) -> list[tuple[float, int]]:
        """The same, each with the number of the arrival in the task: it decides which request is sent (`tasks.turns`)."""
        if self.due_s > now_s:
            return []
        base = self._base
        if self._arrivals is not None:
            moments, positions = self._take_ahead(self._arrivals, now_s, most)
            return [(due_s, base + position) for due_s, position in zip(moments, positions, strict=True)]
        taken: list[tuple[float, int]] = []
        due_s, position, limit, next_distance = self.due_s, self.position, self._limit, self._next_distance
        while due_s <= now_s and most > 0:
            taken.append((due_s, base + position))
            most -= 1
            position += next_distance()
            due_s = self._begin_s + position / self._rate if position < limit else inf
        self.position = position
        self.due_s = due_s
        return taken

    def close_at(self, limit: int | None) -> None:
        """Lower the limit, or set the first one. What was taken stays taken, and a limit is never raised."""
        if limit is not None and limit < self._limit:
            self._limit = limit
            if self._arrivals is None or self.position >= limit:
                self.due_s = self._due()
            else:
                end = bisect_left(self._positions, limit)
                self._cut |= end < len(self._positions)
                del self._positions[end:], self._ahead_s[end:]

    def close_here(self) -> None:
        """No arrival after those already taken."""
        self.close_at(self.position)

    # Under a profile

    def _take_ahead(self, arrivals: Arrivals, now_s: float, most: int) -> tuple[list[float], list[int]]:
        moments: list[float] = []
        positions: list[int] = []
        while most > 0 and self.due_s <= now_s:
            begin = self._index
            end = bisect_right(self._ahead_s, now_s, begin, min(len(self._ahead_s), begin + most))
            moments += self._ahead_s[begin:end]
            positions += self._positions[begin:end]
            most -= end - begin
            if end < len(self._ahead_s):
                self._index = end
                self.position = self._positions[end]
                self.due_s = self._ahead_s[end]
            else:
                # After a cut the distances are not at the place where the positions end; but then nothing comes after it.
                self.position = self._limit if self._cut else self._positions[-1] + self._next_distance()
                self.due_s = self._look_ahead(arrivals) if self.position < self._limit else inf
        return moments, positions

    def _look_ahead(self, arrivals: Arrivals) -> float:
        """Compute the arrivals from `position` on; when the first of them is due."""
        position, positions = self.position, [self.position]
        for _ in range(AHEAD - 1):
            position += self._next_distance()
            if position >= self._limit:
                self._cut = True
                break
            positions.append(position)
        base, begin_s = self._base, self._begin_s
        self._positions = positions
        self._ahead_s = [begin_s + due_s for due_s in arrivals.dues_s([base + one for one in positions])]
        self._index = 0
        return self._ahead_s[0]


def _distances(part: Part, engine: int, engines: int) -> list[int]:
    """The distances between the positions of consecutive arrivals of this engine, over one period."""
    period = len(part.slots) // gcd(len(part.slots), engines)
    places = [position_of(part.slots, part.modulus, engine + step * engines) for step in range(period + 1)]
    return [after - before for before, after in pairwise(places)]
