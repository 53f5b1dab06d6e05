"""What a run looks like while it goes on: the newest answers of the API, and the last minutes second by second. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ha_stress.report.target import profile_of
from ha_stress.tasks.profile import rate_at

#: Seconds that are kept for the curves: more than the widest terminal shows.
KEPT_S: Final = 400
#: Events that are kept for the last lines.
EVENTS_KEPT: Final = 50
#: What is news to somebody who watches a run; so is a revision, unless it is the first one.
_NEWS: Final = frozenset({
    "+aborted", "+node", "-node", "+odown", "+switch-master", "+acting", "+suspended", "-suspended", "+tilt", "+paused",
    "+bus-down", "+events-lost", "-failover-abort-no-good-node", "-failover-abort-not-elected", "-failover-abort-bus",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One second of a task; latencies are response times in milliseconds, None where nothing was answered."""

    second: int
    started: int
    bad: int
    p50_ms: float | None
    p99_ms: float | None
    workers: Mapping[str, int]


@dataclass(slots=True, kw_only=True)
class LiveTask:
    """A task of the run. `wanted` is the document that created it, `found` the newest answer, empty at first. `whole`: its
    seconds have been asked for since it ended, and will not change any more."""

    wanted: Mapping[str, Any]
    found: Mapping[str, Any] = field(default_factory=dict)
    seconds: dict[int, Second] = field(default_factory=dict)
    whole: bool = False

    @property
    def id(self) -> str:
        return str(self.wanted["id"])

    @property
    def title(self) -> str:
        return str(self.found.get("name") or self.wanted.get("name") or self.wanted["url"])

    @property
    def ended(self) -> bool:
        return self.found.get("status") == "ended"

    @property
    def duration_s(self) -> float:
        return float(self.wanted["duration_s"])

    @property
    def newest(self) -> int:
        """The newest second that is known; -1 at first."""
        return max(self.seconds, default=-1)

    def elapsed_s(self, now: float) -> float | None:
        """Of its schedule; None while it has not begun."""
        started_at = self.found.get("started_at")
        return None if not started_at else min(max(0.0, now - started_at), self.duration_s)

    def target(self, at: float) -> float | None:
        """Arrivals per second that are asked for at a Unix time; None for users, who have no schedule."""
        if self.wanted["users"]:
            return None
        if not self.found.get("plan"):
            return None
        newest = self.found["plan"][-1]
        at_s = at - float(self.found["started_at"]) - float(newest.get("origin_s") or 0.0)
        return rate_at(profile_of(newest), float(newest["rate"]), at_s)

    def learn(self, buckets: Iterable[Mapping[str, Any]]) -> None:
        """Seconds of the series; those that were known already are replaced, for late frames may have come."""
        for one in buckets:
            response = one["response"] or {}
            self.seconds[one["second"]] = Second(
                second=one["second"],
                started=one["started"],
                bad=one["failed"] + one["dropped"] + one["wrong"],
                p50_ms=response.get("p50_ms"),
                p99_ms=response.get("p99_ms"),
                workers=one["workers"],
            )
        for second in [second for second in self.seconds if second <= self.newest - KEPT_S]:
            del self.seconds[second]
        self.whole = self.ended

    def course(self, width: int) -> list[Second]:
        """The last `width` whole seconds, oldest first; silent ones are empty. The newest second is still coming in."""
        last = self.newest - (0 if self.ended else 1)
        first = max(min(self.seconds, default=0), last - width + 1)
        return (
            [self.seconds.get(second) or _silent(second) for second in range(first, last + 1)] if self.seconds else []
        )


@dataclass(slots=True, kw_only=True)
class Live:
    """The whole run. `trouble` is a sentence while the cluster cannot be asked, `note` one about what was asked for."""

    tasks: Sequence[LiveTask]
    status: Mapping[str, Any] = field(default_factory=dict)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    trouble: str = ""
    note: str = ""

    @property
    def ended(self) -> bool:
        return all(task.ended for task in self.tasks)

    def hear(self, events: Iterable[Mapping[str, Any]]) -> None:
        mine = {task.id for task in self.tasks}
        for one in events:
            news = one["name"] in _NEWS or (_moved(one) and one["subject"] in mine)
            if news and not any(_same(one, other) for other in self.events[-3:]):
                self.events.append(one)
        del self.events[:-EVENTS_KEPT]

    def news(self, count: int) -> list[Mapping[str, Any]]:
        """The last events that matter to somebody who watches."""
        return self.events[-count:] if count > 0 else []


def _moved(event: Mapping[str, Any]) -> bool:
    """A revision that is not the first one: shares or the rate have changed."""
    return event["name"] == "+revision" and int(event["detail"].get("revision", 1)) > 1


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Every sentinel says for itself that it holds the same subject to be down."""
    keys = ("name", "subject", "epoch", "cause")
    return one["name"] == "+odown" and all(one[key] == other[key] for key in keys)


def _silent(second: int) -> Second:
    return Second(second=second, started=0, bad=0, p50_ms=None, p99_ms=None, workers={})
