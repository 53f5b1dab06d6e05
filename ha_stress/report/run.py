"""What a report is made of, whichever its form: one task, its course, and what happened meanwhile. Pure.

`task`, `events` and `failovers` are what the API answers; they are kept as they came, so that a JSON report has all that was
known, also what this version of the program makes nothing of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ha_stress.tasks.distribution import Distribution, distribution, summed

SCHEMA: Final = "ha-stress-report/1"

#: Counters of a stretch that are whole numbers; those that count by name are `BY_NAME`.
NUMBERS: Final = (
    "intended",
    "started",
    "completed",
    "failed",
    "dropped",
    "late",
    "wrong",
    "retried",
    "connected",
    "closed",
    "bytes_in",
    "bytes_out",
    "cpu_us",
)
BY_NAME: Final = ("failures", "statuses", "checks", "workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds, over all responses of a stretch."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """`width_s` seconds from the Unix second `second` on: counters by name, and counters of names by name.

    The blobs are HdrHistograms in microseconds, or empty.
    """

    second: int
    width_s: int
    numbers: Mapping[str, int]
    named: Mapping[str, Mapping[str, int]]
    response: Latency | None = None
    service: Latency | None = None
    response_us: bytes = field(default=b"", repr=False)
    service_us: bytes = field(default=b"", repr=False)

    @property
    def workers(self) -> Mapping[str, int]:
        """Requests started, by node."""
        return self.named.get("workers", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One task. `stretches` are in the order of time; seconds in which nothing happened may be missing.

    `made_at` is Unix time; `command` is what would do the same again; `environment` says with what it was done.
    """

    task: Mapping[str, Any]
    stretches: tuple[Stretch, ...]
    width_s: int = 1
    events: tuple[Mapping[str, Any], ...] = ()
    failovers: tuple[Mapping[str, Any], ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    made_at: float = 0.0

    @property
    def began_at(self) -> float:
        """Unix time at which the schedule began; if it never did, that of the first report, or of the task's creation."""
        started = self.task.get("started_at")
        first = self.stretches[0].second if self.stretches else self.task.get("created_at") or 0
        return float(first if started is None else started)

    def course(self, most: int | None = None) -> tuple[Stretch, ...]:
        """The stretches, merged so that there are at most `most`; equally long, without holes."""
        return merged(self.stretches, self.width_s, most)


def distributions_of(stretches: Sequence[Stretch]) -> tuple[Distribution, Distribution]:
    """(response, service) over all of them."""
    return distribution(one.response_us for one in stretches), distribution(one.service_us for one in stretches)


def merged(stretches: Sequence[Stretch], width_s: int, most: int | None) -> tuple[Stretch, ...]:
    """Stretches without holes, in which histograms are added and percentiles are never averaged."""
    if not stretches:
        return ()
    first = stretches[0].second
    held = (stretches[-1].second - first) // width_s + 1
    together = 1 if most is None else -(-held // most)
    groups: list[list[Stretch]] = [[] for _ in range(-(-held // together))]
    for one in stretches:
        groups[(one.second - first) // width_s // together].append(one)
    wide = width_s * together
    return tuple(_one(group, first + number * wide, wide) for number, group in enumerate(groups))


def _one(group: Sequence[Stretch], second: int, width_s: int) -> Stretch:
    if len(group) == 1:
        return replace(group[0], second=second, width_s=width_s)
    response, service = summed(one.response_us for one in group), summed(one.service_us for one in group)
    return Stretch(
        second=second,
        width_s=width_s,
        numbers={name: sum(one.numbers.get(name, 0) for one in group) for name in NUMBERS},
        named={name: add_named(one.named.get(name, {}) for one in group) for name in BY_NAME},
        response=latency(response.distribution()),
        service=latency(service.distribution()),
        response_us=response.encode(),
        service_us=service.encode(),
    )


def add_named(maps: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in maps:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total


def latency(found: Distribution) -> Latency | None:
    if not found.total:
        return None
    return Latency(
        count=found.total,
        mean_ms=round(found.mean_us / 1000, 3),
        p50_ms=found.at(50) / 1000,
        p90_ms=found.at(90) / 1000,
        p99_ms=found.at(99) / 1000,
        p999_ms=found.at(99.9) / 1000,
        max_ms=found.max_us / 1000,
    )
