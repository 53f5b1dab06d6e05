"""The running books of one revision in one engine, cut into reports."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ha_stress.engines.histogram import Recorder
from ha_stress.engines.pacing import Cursor


class Account:
    """Counters since the last cut, and the cursor that they belong to. The hot path increments the fields directly.

    `under_way` is over the whole life: started and neither completed nor failed. An arrival that waits for its
    connection is in `waiting` only: it is neither intended nor started until it is sent or its attempt has failed, so
    that intended == started + dropped holds in every report.
    """

    __slots__ = (
        "bytes_in",
        "completed",
        "cursor",
        "dropped",
        "failed",
        "late",
        "response",
        "revision",
        "service",
        "started",
        "statuses",
        "task",
        "under_way_before",
        "waiting",
    )

    def __init__(self, task: str, revision: int, cursor: Cursor) -> None:
        self.task = task
        self.revision = revision
        self.cursor = cursor
        self.under_way_before = 0
        self.waiting = 0
        self.response = Recorder()
        self.service = Recorder()
        self._clear()

    def _clear(self) -> None:
        self.started = self.completed = self.dropped = self.late = self.bytes_in = 0
        self.failed: defaultdict[str, int] = defaultdict(int)
        self.statuses: defaultdict[int, int] = defaultdict(int)

    @property
    def under_way(self) -> int:
        return self.under_way_before + self.started - self.completed - sum(self.failed.values())

    @property
    def settled(self) -> bool:
        """Whether every arrival of this revision has been taken and none is waiting or under way."""
        return self.cursor.exhausted and not self.waiting and not self.under_way

    @property
    def changed(self) -> bool:
        return bool(self.started or self.completed or self.dropped or self.failed or self.bytes_in)

    def cut(self, engine: int, second: int) -> dict[str, Any]:
        """A report of what happened since the last cut, as a plain dict; the counters begin again at zero."""
        report = {
            "t": "report",
            "engine": engine,
            "task": self.task,
            "revision": self.revision,
            "second": second,
            "counters": {
                "intended": self.started + self.dropped,
                "started": self.started,
                "completed": self.completed,
                "dropped": self.dropped,
                "late": self.late,
                "bytes_in": self.bytes_in,
                "failed": dict(self.failed),
                "statuses": {str(status): count for status, count in self.statuses.items()},
            },
            "response_us": self.response.drain(),
            "service_us": self.service.drain(),
        }
        self.under_way_before = self.under_way
        self._clear()
        return report
