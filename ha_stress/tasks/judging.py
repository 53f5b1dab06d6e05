"""What thresholds say of what was measured. Pure. Of every stretch of a run `course` makes the figures.

A *label* is the Unix second at which a frame was cut: what happened from label - 1 to label. A window of `width` seconds
that ends with label e holds the labels e - width + 1 to e. Latency counts are by index of the histogram (see
`tasks.distribution`), so that adding seconds is exact and percentiles are those of all responses of the window.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from math import ceil, floor
from typing import Final

from ha_stress.tasks.buckets import highest_of, lowest_of
from ha_stress.tasks.checks import COMPARE
from ha_stress.tasks.distribution import Distribution, distribution
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.ledger import Counters, Row, add, missing
from ha_stress.tasks.schedule import Plan
from ha_stress.tasks.thresholds import COUNTS, Threshold, latency_of

Counts = Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What was reported under one label by all engines together, in so many `frames`. Of latencies (index, count)."""

    label: int
    counters: Counters
    frames: int = 1
    response: Iterable[tuple[int, int]] = ()
    service: Iterable[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A whole run without its warm-up; `measured_s` is how long it was scheduled so far. `requests` are those of one name
    each, of which there are service times only."""

    counters: Counters
    uncovered: int
    measured_s: float
    response: Counts = field(default_factory=dict)
    service: Counts = field(default_factory=dict)
    requests: Mapping[str, Totals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Which labels count: `begin` is the first that may hold what was due after the warm-up. Rates are only asked of `full`
    seconds, in which the schedule was under way all the time: (first, last) label, last None while it has no end."""

    begin: int
    full: tuple[int, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The figure of a window, None if nothing happened in it."""

    value: float | None
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One threshold. `observed` is the figure of the run or of the worst window; `ok` is None while nothing can be said.
    `window` has the first and the last label of that window."""

    threshold: Threshold
    observed: float | None
    ok: bool | None
    window: tuple[int, int] | None = None


def counts_of(distribution: Distribution) -> dict[int, int]:
    counts = distribution.counts
    return {index: counts[index] for index in compress(range(len(counts)), counts)}  # most are 0: skipped in C


class Packed:
    """The same to be kept for long: ten bytes each, where a dictionary takes a hundred. Goes through (index, count)."""

    __slots__ = ("_counts", "_indexes")

    def __init__(self, distribution: Distribution) -> None:
        counts = distribution.counts
        self._indexes = array("H", compress(range(len(counts)), counts))
        self._counts = array("Q", compress(counts, counts))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._indexes, self._counts, strict=True)


def stretch_of(started_at: float, duration_s: float | None, warm_up_s: float) -> Stretch:
    counted_at = started_at + warm_up_s
    last = None if duration_s is None else floor(started_at + duration_s)
    return Stretch(begin=floor(counted_at) + 1, full=(ceil(counted_at) + 1, last))


def measured_s(started_at: float, duration_s: float | None, warm_up_s: float, last_label: float) -> float:
    """How long the part of the schedule was that the counters up to `last_label` can speak of."""
    end = last_label if duration_s is None else min(last_label, started_at + duration_s)
    return max(0.0, end - (started_at + warm_up_s))


# Figures.

_PERCENT: Final = {"min": 0.0, "median": 50.0}


def statistic(name: str, counts: Counts) -> float | None:
    """`p99`, `median`, `mean`, `min` or `max` in milliseconds; None if there are none."""
    total = sum(counts.values())
    if not total:
        return None
    if name == "max":
        return highest_of(max(counts)) / 1000
    if name == "mean":
        return sum(count * (lowest_of(i) + highest_of(i)) for i, count in counts.items()) / total / 2000
    percent = _PERCENT[name] if name in _PERCENT else float(name[1:])
    if not percent:
        return lowest_of(min(counts)) / 1000
    wanted = min(max(1, int(percent / 100 * total + 0.5)), total)
    for index in sorted(counts):
        wanted -= counts[index]
        if wanted <= 0:
            break
    return highest_of(index) / 1000


def figure(metric: str, totals: Totals) -> float | None:
    """The metric of a whole run."""
    latency = latency_of(metric)
    counters = totals.counters
    if latency is not None:
        return statistic(latency[0], totals.service if latency[1] == "service" else totals.response)
    if metric == "rate":
        return counters.started / totals.measured_s if totals.measured_s > 0 else None
    intended = counters.intended + totals.uncovered
    if metric == "error_rate":
        bad = counters.failed_total + counters.wrong + counters.dropped + totals.uncovered
        return bad / intended if intended else None
    assert metric in COUNTS
    if metric == "failed":
        return counters.failed_total
    if metric in ("uncovered", "intended"):
        return totals.uncovered if metric == "uncovered" else intended
    return float(getattr(counters, metric))


def passes(threshold: Threshold, observed: float) -> bool:
    return bool(COMPARE[threshold.operator](observed, threshold.value))


def badness(threshold: Threshold, observed: float) -> float:
    """The greater, the worse."""
    if threshold.operator in ("<", "<="):
        return observed
    if threshold.floor:
        return -observed
    distance = abs(observed - threshold.value)
    return distance if threshold.operator == "==" else -distance


def worst(threshold: Threshold, observed: Iterable[Observed | None]) -> Observed | None:
    """The one that is farthest from passing, the earliest of several."""
    some = [one for one in observed if one is not None and one.value is not None]
    return max(some, key=lambda one: badness(threshold, one.value or 0.0), default=None)


def judge(
    thresholds: Sequence[Threshold], totals: Totals, worst_windows: Mapping[str, Observed | None], *, final: bool
) -> list[Judgement]:
    """One judgement for each threshold, in their order.

    A run that was shorter than a window is one window itself. What was never measured is not passed, once the run is over.
    """
    found = []
    for threshold in thresholds:
        window = worst_windows.get(threshold.text) if threshold.window_s is not None else None
        value = window.value if window is not None else None
        if threshold.window_s is None or (final and window is None):
            asked = totals.requests.get(threshold.request) if threshold.request else totals
            value = figure(threshold.metric, asked) if asked is not None else None
        ok = passes(threshold, value) if value is not None else False if final else None
        labels = (window.first, window.last) if window is not None else None
        found.append(Judgement(threshold=threshold, observed=value, ok=ok, window=labels))
    return found


def asked_for(thresholds: Sequence[Threshold], requests: Mapping[str, RequestFigures]) -> dict[str, RequestFigures]:
    """The names that thresholds ask for: to decode the histograms of the others would be for nothing."""
    return {one.request: requests[one.request] for one in thresholds if one.request in requests}


def totals_of(
    plan: Plan,
    warm_up_s: float,
    rows: Iterable[Row],
    *,
    counted: Iterable[Row] | None,
    newest: float,
    response: Distribution,
    service: Distribution,
    requests: Mapping[str, RequestFigures] | None = None,
) -> Totals:
    """A run up to the label `newest`. `counted` are the rows without the warm-up; None: there is none, and the rows say it
    all. The distributions are the merged ones of the task: those of the warm-up never were recorded."""
    rows = list(rows)
    counted = rows if counted is None else list(counted)
    lasted_s = measured_s(plan.started_at, plan.duration_s, warm_up_s, newest)
    return Totals(
        counters=add(row.counters for row in counted),
        uncovered=_uncovered(plan, warm_up_s, rows, counted),
        measured_s=lasted_s,
        response=counts_of(response),
        service=counts_of(service),
        requests={name: _of_one_name(one, lasted_s) for name, one in (requests or {}).items()},
    )


def _uncovered(plan: Plan, warm_up_s: float, rows: Sequence[Row], counted: Sequence[Row]) -> int:
    """Of what was due behind the warm-up. Where that ends is a matter of rounding: never more than is missing at all."""
    if not plan.lost:
        return 0
    gaps, behind = missing(plan, rows), missing(plan, counted, after_s=warm_up_s)
    return sum(min(gap, behind.get(where, 0)) for where, gap in gaps.items() if where[1] in plan.lost)


def _of_one_name(figures: RequestFigures, lasted_s: float) -> Totals:
    service = counts_of(distribution([figures.service_us]))
    counters = Counters(
        intended=figures.started,
        started=figures.started,
        completed=figures.completed,
        wrong=figures.wrong,
        failed=figures.failed,
    )
    return Totals(counters=counters, uncovered=0, measured_s=lasted_s, response=service, service=service)
