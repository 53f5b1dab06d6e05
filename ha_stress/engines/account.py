"""The running books of one revision in one engine, cut into reports.

one request     the account is what the hot path counts in
a mix           it counts in a tally for each request, and the account is their sum: neither is slower than the other
a scenario      the account counts runs, and a tally for each name the requests that the runs make
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, Protocol

from ha_stress.base.limits import REQUEST_STATUSES_MAX
from ha_stress.engines.histogram import Recorder, Sparse
from ha_stress.tasks.checking import Compiled, compiled, with_implied
from ha_stress.tasks.figures import place_of

#: An arrival begun later than this after its schedule counts as late: sent, or, where there is no connection that could be
#: used, connecting. What the target takes to be connected to is in the response time; it is not the generator's lateness.
LATE_S: Final = 0.010
#: What a task without checks is held to.
IMPLIED: Final = compiled(with_implied(()))


class Source(Protocol):
    """Where a revision's requests come from: `pacing.Cursor` in the open model, `users.Users` in the closed one. The next
    is due at `due_s`; `exhausted` once none can come any more."""

    due_s: float

    @property
    def exhausted(self) -> bool: ...


class Tally:
    """What happened since the last cut. The hot path increments the fields directly.

    An arrival that waits for its connection is in `waiting` only: it is neither intended nor started until it is sent or
    its attempt has failed, so that intended == started + dropped holds in every report.

    What was due in the warm-up is not `measured`: its latencies are not recorded. In the closed model a request is due
    when it is sent, so only service times are. Whoever looks at more of a response than its status fills `wrong` and
    `failed_checks`; checks of the status are worked out when a report is cut.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "closed_model",
        "completed",
        "connected",
        "dropped",
        "failed",
        "failed_checks",
        "late",
        "measured",
        "response",
        "response_counts",
        "retried",
        "service",
        "service_counts",
        "started",
        "statuses",
        "waiting",
        "wrong",
    )

    def __init__(self, response: Recorder, service: Recorder | Sparse, *, measured: bool, closed_model: bool) -> None:
        self.measured = measured
        self.closed_model = closed_model
        self.waiting = 0
        self.response, self.service = response, service
        self.response_counts, self.service_counts = response.counts, service.counts  # for the hot path
        self.clear()

    def clear(self) -> None:
        self.started = self.completed = self.dropped = self.late = self.bytes_in = self.bytes_out = 0
        self.wrong = self.retried = self.connected = 0
        self.failed: defaultdict[str, int] = defaultdict(int)
        self.statuses: defaultdict[int, int] = defaultdict(int)
        self.failed_checks: defaultdict[str, int] = defaultdict(int)

    @property
    def touched(self) -> bool:
        numbers = (self.started, self.completed, self.dropped, self.bytes_in, self.bytes_out, self.wrong)
        return any(numbers) or bool(self.failed or self.connected or self.retried)

    @property
    def ended(self) -> int:
        return self.completed + sum(self.failed.values())

    def check_statuses(self, checks: Compiled) -> None:
        """A check of the status needs no look at each response: the counts say all."""
        for status, count in self.statuses.items():
            failing = checks.by_status.get(status, ())
            self.wrong += count if failing else 0
            for text in failing:
                self.failed_checks[text] += count

    def take(self, other: Tally) -> None:
        """Add what another one has counted, but for its latencies."""
        self.started += other.started
        self.completed += other.completed
        self.dropped += other.dropped
        self.late += other.late
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.wrong += other.wrong
        self.retried += other.retried
        self.connected += other.connected
        _add(self.failed, other.failed)
        _add(self.statuses, other.statuses)
        _add(self.failed_checks, other.failed_checks)

    def figures(self) -> dict[str, Any]:
        """As a plain `RequestFigures`, whose histogram is still to be encoded; the service times begin again."""
        return {
            "started": self.started,
            "completed": self.completed,
            "wrong": self.wrong,
            "failed": dict(self.failed),
            "statuses": _told(self.statuses),
            "service": self.service.drain(),
        }


class Account(Tally):
    """The counters of a revision, and the source of the requests they count.

    `names` are those of a mix, one for each of its requests, which count in `tallies`; requests of one name share one. A
    scenario asks for the tally of a name with `step`. `under_way` is over the whole life: started and neither completed
    nor failed.
    """

    __slots__ = (
        "_named",
        "_names",
        "_parts",
        "checks",
        "closed",
        "cursor",
        "revision",
        "tallies",
        "task",
        "under_way_before",
    )

    def __init__(
        self,
        task: str,
        revision: int,
        cursor: Source,
        *,
        checks: Compiled = IMPLIED,
        measured: bool = True,
        closed_model: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        service = Sparse() if names else Recorder()  # of a mix: nothing is recorded there
        super().__init__(Recorder(), service, measured=measured, closed_model=closed_model)
        self.task = task
        self.revision = revision
        self.cursor = cursor
        self.checks = checks
        self.under_way_before = self.closed = 0
        self._named: dict[str, Tally] = {name: self._tally(self.response) for name in names}
        self._parts = tuple(self._named.values())
        self.tallies = [self._named[name] for name in names]
        self._names = names

    def successor(self) -> Account:
        """For what its source has from now on, behind the warm-up; this one counts what becomes of the rest."""
        return Account(
            self.task,
            self.revision,
            self.cursor,
            checks=self.checks,
            closed_model=self.closed_model,
            names=self._names,
        )

    def _tally(self, response: Recorder) -> Tally:
        return Tally(response, Sparse(), measured=self.measured, closed_model=self.closed_model)

    def step(self, name: str) -> Tally:
        """Where a scenario counts its requests of this name."""
        tally = self._named.get(name)
        if tally is None:
            tally = self._named.setdefault(place_of(name, self._named), self._tally(self.response))
        return tally

    @property
    def under_way(self) -> int:
        now = sum(part.started - part.ended for part in self._parts)
        return self.under_way_before + self.started - self.ended + now

    @property
    def activity(self) -> int:
        """Requests that were sent and answered since the last cut."""
        return sum(one.started + one.completed for one in (self, *self._parts))

    @property
    def idle(self) -> bool:
        """Whether nothing of it is waiting or under way."""
        return not (self.waiting or any(part.waiting for part in self._parts) or self.under_way)

    @property
    def settled(self) -> bool:
        """Whether every arrival of this revision has been taken and none is waiting or under way."""
        return self.cursor.exhausted and self.idle

    @property
    def changed(self) -> bool:
        return self.touched or bool(self.closed) or any(tally.touched for tally in self._named.values())

    def cut(self, engine: int, second: int, cpu_us: int = 0) -> dict[str, Any]:
        """A report of what happened since the last cut, as a plain dict; the counters begin again at zero.

        Of a mix it has no service times of the whole: they are the sum of those of `requests`, for the node to make.
        """
        self.under_way_before = self.under_way
        if self.checks.only_status:
            for tally in self._parts or (self,):
                tally.check_statuses(self.checks)
        requests = self._cut_named()
        service_us = None if self._parts else self.service.drain()
        report = {
            "t": "report",
            "engine": engine,
            "task": self.task,
            "revision": self.revision,
            "second": second,
            "warm_up": not self.measured,
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
            "requests": requests,
        }
        self.clear()
        self.closed = 0
        return report

    def _cut_named(self) -> dict[str, dict[str, Any]]:
        """The figures by name; those of a mix become ours, too."""
        found: dict[str, dict[str, Any]] = {}
        for name, tally in self._named.items():
            if not tally.touched:
                continue
            found[name] = tally.figures()
            if self._parts:
                self.take(tally)
            tally.clear()
        return found


def _add(counts: defaultdict[Any, int], more: defaultdict[Any, int]) -> None:
    for key, count in more.items():
        counts[key] += count


def _told(statuses: defaultdict[int, int]) -> dict[str, int]:
    """By status; where there are too many, the rarest by their class: 4xx."""
    told: defaultdict[str, int] = defaultdict(int)
    for number, (status, count) in enumerate(sorted(statuses.items(), key=lambda item: -item[1])):
        told[str(status) if number < REQUEST_STATUSES_MAX else f"{status // 100}xx"] += count
    return dict(told)
