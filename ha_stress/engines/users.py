"""The users of the closed model: each sends its next request some time after its last answer. Pure.

    thinking (in a heap, by when it wants to send) --> under way --> thinking ... --> stopped

A user that does not think goes from one answer straight to its next request, without the heap, as long as the time is
before `horizon_s`: see `Connection`.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ha_stress.engines.account import Account
    from ha_stress.tasks.schedule import Part

#: A user whose request could not even connect waits this long: a target that refuses would otherwise be asked, and
#: refuse, tens of thousands of times a second.
UNCONNECTED_PAUSE_S: Final = 0.01
#: Later than everything, and not infinite: an infinite `due_s` says that nothing can come any more.
_FAR_S: Final = 1e12


class User:
    """`number` is its slot in the revision's table, `iteration` how many requests it has begun."""

    __slots__ = ("iteration", "number", "users")

    def __init__(self, users: Users, number: int) -> None:
        self.users = users
        self.number = number
        self.iteration = 0


class Users:
    """Those of one engine in one revision. Interchangeable with a `Cursor` where only `due_s` and `exhausted` matter.

    `until_s` is when they stop, on the caller's clock. `horizon_s` is until when a user may go on by itself: the loop
    moves it ahead in each pass, so that an engine that stood still asks before anybody goes on.
    """

    __slots__ = (
        "_count",
        "_direct",
        "_stopped",
        "_thinking",
        "account",
        "due_s",
        "horizon_s",
        "think_s",
        "total",
        "until_s",
    )

    def __init__(
        self, part: Part, *, engine: int, engines: int, started_s: float, think_s: float, direct: bool = True
    ) -> None:
        numbers = part.slots[engine::engines]
        begin_s = started_s + part.at_s
        self.think_s = think_s
        self.total = part.users
        self.account: Account | None = None  # set as long as this revision runs
        self._direct = direct and think_s <= 0
        self._count = len(numbers)
        self._stopped = 0
        self.until_s = inf
        self.horizon_s = -inf
        self._thinking = [(begin_s, number, User(self, number)) for number in numbers]  # sorted, so it is a heap
        self.due_s = -inf
        self._arm()

    @property
    def exhausted(self) -> bool:
        return self._stopped == self._count

    def _arm(self) -> None:
        if self._thinking:
            self.due_s = min(self._thinking[0][0], self.until_s)
        else:
            self.due_s = inf if self.until_s == -inf or self.exhausted else min(self.until_s, _FAR_S)

    def go_on_until(self, latest_s: float) -> None:
        self.horizon_s = min(latest_s, self.until_s) if self._direct else -inf

    def stop_at(self, until_s: float) -> None:
        """Stop at that time, or at the earlier one that was said before."""
        if until_s < self.until_s:
            self.until_s = until_s
            self.horizon_s = min(self.horizon_s, until_s)
            self._arm()

    def close_here(self) -> None:
        """Nobody sends another request."""
        self.stop_at(-inf)

    def take(self, now_s: float, most: int) -> list[User]:
        """Whoever wants to send by now, but no more than `most`; when it is over, all who think stop instead."""
        thinking = self._thinking
        taken: list[User] = []
        if now_s >= self.until_s:
            self.until_s = -inf  # from here on a user stops with its last answer
            self._stop(len(thinking))
            thinking.clear()
        while thinking and thinking[0][0] <= now_s and len(taken) < most:
            taken.append(heappop(thinking)[2])
        self._arm()
        return taken

    def answered(self, user: User, now_s: float) -> None:
        """The user's last request has ended."""
        self._think(user, now_s, self.think_s)

    def unconnected(self, user: User, now_s: float) -> None:
        """The user's last request never got a connection."""
        self._think(user, now_s, max(self.think_s, UNCONNECTED_PAUSE_S))

    def _think(self, user: User, now_s: float, think_s: float) -> None:
        if now_s >= self.until_s:
            self._stop(1)
        else:
            heappush(self._thinking, (now_s + think_s, user.number, user))
        self._arm()

    def _stop(self, count: int) -> None:
        self._stopped += count
        if self.account is not None:
            self.account.closed += count
