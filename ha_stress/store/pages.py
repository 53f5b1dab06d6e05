"""The frames of a task in the order of time, a page at a time: however long the task is, no answer of the database is."""

from __future__ import annotations

from math import inf

import trio

from ha_stress.base.limits import SERIES_PAGE_FRAMES
from ha_stress.store.evidence import seconds_of
from ha_stress.store.series import Piece, Place, before
from ha_stress.store.store import Store
from ha_stress.tasks.course import Course
from ha_stress.tasks.judging import Observed, Stretch


class Pages:
    """Reads on behind a place, up to another one if it is given. `read` is how many frames there were so far, `over` says
    that there are no more."""

    def __init__(self, store: Store, task_id: str, after: Place, until: Place | None = None) -> None:
        self._store = store
        self._task_id = task_id
        self._place = after
        self._until = until
        self.read = 0
        self.over = False

    async def next(self) -> list[Piece]:
        page = await self._store.series(self._task_id, after=self._place, until=self._until, limit=SERIES_PAGE_FRAMES)
        self.read += len(page)
        self.over = len(page) < SERIES_PAGE_FRAMES
        if page:
            self._place = page[-1].place
        return page


async def followed(
    store: Store,
    task_id: str,
    course: Course,
    stretch: Stretch,
    *,
    newest: int,
    threads: trio.CapacityLimiter,
    final: bool = False,
    frames_max: float = inf,
) -> dict[str, list[Observed]] | None:
    """`Course.see` of all that the store has behind what the course has seen; None if that is more than `frames_max`.

    Who is cancelled here does not wait for the thread, and must not use the course any more.
    """
    pages = Pages(store, task_id, before(course.wanted() - 1))
    held: list[Piece] = []

    async def see(pieces: list[Piece], newest: int, final: bool) -> dict[str, list[Observed]]:
        def seen() -> dict[str, list[Observed]]:
            return course.see(seconds_of(pieces), stretch, newest=newest, final=final)

        return await trio.to_thread.run_sync(seen, limiter=threads, abandon_on_cancel=True)

    while True:
        held += await pages.next()
        if pages.read > frames_max:
            return None
        if pages.over:
            return await see(held, newest, final)
        # Much to catch up with: a page at a time, without its last second, which may go on.
        last = held[-1].place[0]
        whole = [piece for piece in held if piece.place[0] < last]
        held = held[len(whole) :]
        if whole:
            await see(whole, last, final=False)
