"""The sliding windows of tasks that run, as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from ha_stress.base.limits import LIVE_WINDOWS_MAX, SERIES_FRAMES_MAX
from ha_stress.store.pages import followed
from ha_stress.store.store import Store, TaskRecord
from ha_stress.tasks.course import course_of
from ha_stress.tasks.judging import Observed, Stretch, worst

#: Of a running task: windows that end in, and engines in, so many of the last seconds.
NOW_S: Final = 5
#: So much longer than it took to look at the windows of a task they are not looked at again.
_PAUSES: Final = 9


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What was seen of a task, and until when that will do. Who looks at it has the `turn`."""

    turn: trio.Lock = field(default_factory=trio.Lock)
    due: float = 0.0
    worst: Mapping[str, Observed | None] | None = None


class LiveWindows:
    """The worst of the sliding windows that end in the last seconds, of tasks that run. To look at wide ones takes a while,
    and callers ask again and again: most of the time they are told what was seen last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = trio.CapacityLimiter(1)
        self._seen: dict[str, _Seen] = {}

    async def worst(self, record: TaskRecord, stretch: Stretch, newest: int) -> Mapping[str, Observed | None] | None:
        """By threshold; None if there are too many frames in them."""
        if not any(one.window_s for one in record.spec.thresholds):
            return {}
        self._seen[record.spec.id] = seen = self._seen.pop(record.spec.id, None) or _Seen()
        while len(self._seen) > LIVE_WINDOWS_MAX:
            del self._seen[next(iter(self._seen))]
        async with seen.turn:
            began = trio.current_time()
            if began >= seen.due:
                seen.worst = await self._look(record, stretch, newest)
                ended = trio.current_time()
                seen.due = ended + _PAUSES * (ended - began)
            return seen.worst

    async def _look(self, record: TaskRecord, stretch: Stretch, newest: int) -> Mapping[str, Observed | None] | None:
        course = course_of(record.spec.thresholds, newest - NOW_S, {})
        where = self._store, record.spec.id, course, stretch
        recent = await followed(*where, newest=newest, threads=self._threads, frames_max=SERIES_FRAMES_MAX)
        if recent is None:
            return None
        return {one.text: worst(one, (course.worst.get(one.text), *recent[one.text])) for one in course.thresholds}
