"""What is counted under the names of a task's requests: those of a mix, or those that a scenario makes. Pure.

    mix        the sum over all names is what the task counted, in every report
    scenario   a run makes several requests: the task counts runs, the names count requests

Names are bounded; what has no name of its own is counted under `FURTHER`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ha_stress.base.limits import REQUEST_NAMES_MAX

#: Stands for all requests beyond the names that a task may have.
FURTHER: Final = "further requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFigures:
    """What was counted under one name. `wrong` is the part of `completed` of which a check failed. `service_us` is an
    HdrHistogram V2 blob of the service times of the completed ones, in microseconds, or empty."""

    started: int = 0
    completed: int = 0
    wrong: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)  # error kind -> count
    statuses: Mapping[str, int] = field(default_factory=dict)  # "200" -> count
    service_us: bytes = b""

    @property
    def failed_total(self) -> int:
        return sum(self.failed.values())


def without_histograms(requests: Mapping[str, RequestFigures]) -> dict[str, RequestFigures]:
    return {name: replace(figures, service_us=b"") for name, figures in requests.items()}


def counts_added(every: Iterable[Mapping[str, RequestFigures]]) -> dict[str, RequestFigures]:
    """The sums by name, without the histograms."""
    total: dict[str, RequestFigures] = {}
    for requests in every:
        for name, more in requests.items():
            before = total.get(name, RequestFigures())
            total[name] = RequestFigures(
                started=before.started + more.started,
                completed=before.completed + more.completed,
                wrong=before.wrong + more.wrong,
                failed=add_maps((before.failed, more.failed)),
                statuses=add_maps((before.statuses, more.statuses)),
            )
    return total


def add_maps(maps: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum by key."""
    total: dict[str, int] = {}
    for one in maps:
        for key, count in one.items():
            total[key] = total.get(key, 0) + count
    return total


def place_of(name: str, known: Collection[str]) -> str:
    """The name under which `name` is counted where these are known already: itself, unless there are too many."""
    if name in known or len(known) - (FURTHER in known) < REQUEST_NAMES_MAX:
        return name
    return FURTHER
