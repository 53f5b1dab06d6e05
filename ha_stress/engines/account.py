"""The running books of one revision in one engine, cut into reports."""

from __future__ import annotations

from collections import defaultdict
from math import inf
from typing import Any, Final, Protocol

from ha_stress.engines.histogram import Recorder
from ha_stress.tasks.checking import Compiled, compiled, with_implied

#: What a task without checks is held to.
IMPLIED: Final = compiled(with_implied(()))


class Source(Protocol):
    """Where a revision's requests come from: `pacing.Cursor` in the open model, `users.Users` in the closed one. The next
    is due at `due_s`; `exhausted` once none can come any more."""

    due_s: float

    @property
    def exhausted(self) -> bool: ...


class Account:
    """Counters since the last cut, and the source of the requests they count. The hot path increments the fields directly.

    `under_way` is over the whole life: started and neither completed nor failed. An arrival that waits for its
    connection is in `waiting` only: it is neither intended nor started until it is sent or its attempt has failed, so
    that intended == started + dropped holds in every report.

    Latencies of what was due before `measured_from_s` are not recorded. In the closed model a request is due when it is
    sent, so only service times are. Whoever looks at more of a response than its status fills `wrong` and `failed_checks`;
    checks of the status are worked out when a report is cut.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "checks",
        "closed",
        "closed_model",
        "completed",
        "connected",
        "cursor",
        "dropped",
        "failed",
        "failed_checks",
        "late",
        "measured_from_s",
        "response",
        "response_counts",
        "retried",
        "revision",
        "service",
        "service_counts",
        "started",
        "statuses",
        "task",
        "under_way_before",
        "waiting",
        "wrong",
    )

    def __init__(
        self,
        task: str,
        revision: int,
        cursor: Source,
        *,
        checks: Compiled = IMPLIED,
        measured_from_s: float = -inf,
        closed_model: bool = False,
    ) -> None:
        self.task = task
        self.revision = revision
        self.cursor = cursor
        self.checks = checks
        self.measured_from_s = measured_from_s
        self.closed_model = closed_model
        self.under_way_before = 0
        self.waiting = 0
        self.response = Recorder()
        self.service = Recorder()
        self.response_counts, self.service_counts = self.response.counts, self.service.counts  # for the hot path
        self._clear()

    def _clear(self) -> None:
        self.started = self.completed = self.dropped = self.late = self.bytes_in = self.bytes_out = 0
        self.wrong = self.retried = self.connected = self.closed = 0
        self.failed: defaultdict[str, int] = defaultdict(int)
        self.statuses: defaultdict[int, int] = defaultdict(int)
        self.failed_checks: defaultdict[str, int] = defaultdict(int)

    @property
    def under_way(self) -> int:
        return self.under_way_before + self.started - self.completed - sum(self.failed.values())

    @property
    def settled(self) -> bool:
        """Whether every arrival of this revision has been taken and none is waiting or under way."""
        return self.cursor.exhausted and not self.waiting and not self.under_way

    @property
    def changed(self) -> bool:
        numbers = (self.started, self.completed, self.dropped, self.bytes_in, self.bytes_out, self.closed)
        return any(numbers) or bool(self.failed or self.connected or self.retried)

    def cut(self, engine: int, second: int, cpu_us: int = 0) -> dict[str, Any]:
        """A report of what happened since the last cut, as a plain dict; the counters begin again at zero."""
        if self.checks.only_status:
            self._check_statuses()
        service_us = self.service.drain()
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
                "bytes_out": self.bytes_out,
                "wrong": self.wrong,
                "retried": self.retried,
                "connected": self.connected,
                "closed": self.closed,
                "cpu_us": cpu_us,
                "failed": dict(self.failed),
                "statuses": {str(status): count for status, count in self.statuses.items()},
                "checks": dict(self.failed_checks),
            },
            "response_us": service_us if self.closed_model else self.response.drain(),
            "service_us": service_us,
        }
        self.under_way_before = self.under_way
        self._clear()
        return report

    def _check_statuses(self) -> None:
        """A check of the status needs no look at each response: the counts say all."""
        for status, count in self.statuses.items():
            failing = self.checks.by_status.get(status, ())
            self.wrong += count if failing else 0
            for text in failing:
                self.failed_checks[text] += count
