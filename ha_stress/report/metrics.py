"""What of a run is compared: each figure with its error. Pure.

A percentile is one of all responses of a run. Its error is found by asking, second by second, which share of the responses
lay at or below it, and turning the error of that share into one of the value: R. S. Woodruff, "Confidence intervals for
medians and other position measures", Journal of the American Statistical Association 47 (1952) 635-646. Figures that have no
upper end are taken as logarithms, so that differences of them are ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, log, sqrt
from typing import Final

from ha_stress.report import statistics as st
from ha_stress.report import words
from ha_stress.report.run import Run, Stretch
from ha_stress.report.statistics import Estimate
from ha_stress.report.target import arrivals_wanted, scheduled_s
from ha_stress.tasks.distribution import Distribution, distribution

#: Fewer seconds than this of a run say nothing of how much seconds differ.
SECONDS_MIN: Final = 6
#: So many responses must lie beyond a percentile, or it is a matter of a few requests.
BEYOND_MIN: Final = 10
#: What is compared of the response times, besides their mean.
PERCENTILES: Final = (50.0, 90.0, 99.0)
#: HdrHistogram keeps three digits: values closer than this are the same.
_RESOLUTION: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`better` is -1 where less is better, 1 where more is. `shown` formats a value."""

    name: str
    better: int
    shown: Callable[[float], str]
    of: Callable[[Sample], Estimate]  # the logarithm, but for a share
    share: bool = False


class Sample:
    """One run's seconds, without the warm-up, and without those at both ends that are no whole seconds. Of a run that is too
    short to say how much its seconds differ, all that was sent is kept: its figures are known all the same."""

    def __init__(self, run: Run) -> None:
        from_s = float(run.task.get("warm_up_s") or 0.0)
        due_s = scheduled_s(run.task)
        until_s = inf if due_s is None else due_s + 1e-6
        self.width_s = run.width_s
        whole = [one for one in run.stretches if from_s <= one.second - run.began_at <= until_s - one.width_s]
        #: How many of them are whole.
        self.seconds = len(whole)
        self.short = self.seconds < SECONDS_MIN
        counted = [one for one in run.stretches if one.second + one.width_s - run.began_at > from_s]
        self.stretches: Sequence[Stretch] = counted if self.short else whole
        wanted = [arrivals_wanted(run.task, one.second, one.second + one.width_s) for one in self.stretches]
        #: What each stretch is measured against: arrivals that were due, or seconds.
        self.scheduled = not any(due is None for due in wanted)
        self.due = [float(self.width_s) if due is None else due for due in wanted]
        self.response = distribution(one.response_us for one in self.stretches)
        #: Percentile -> its value in microseconds.
        self.percentiles_us = {percent: self.response.at(percent) for percent in PERCENTILES}

    @property
    def lengths(self) -> list[float]:
        """Of the stretches, in seconds."""
        return [float(self.width_s)] * len(self.stretches)

    def numbers(self, *names: str) -> list[float]:
        return [float(sum(one.numbers.get(name, 0) for name in names)) for one in self.stretches]

    @cached_property
    def answered(self) -> list[float]:
        """How many responses there were in each second."""
        return [0.0 if one.response is None else float(one.response.count) for one in self.stretches]

    @cached_property
    def at_most(self) -> dict[float, list[float]]:
        """Percentile -> in each second how many responses took as long at most. No histogram is read twice, or kept."""
        found: dict[float, list[float]] = {percent: [] for percent in PERCENTILES}
        for one in self.stretches:
            seen = distribution([one.response_us])
            for percent, value_us in self.percentiles_us.items():
                found[percent].append(float(seen.at_most(value_us)))
        return found


#: Of what was never measured.
NOTHING: Final = Estimate(value=-inf, error=inf)


def _percentile(percent: float) -> Callable[[Sample], Estimate]:
    def of(sample: Sample) -> Estimate:
        whole, share = sample.response, percent / 100
        if not whole.total:
            return NOTHING
        value_us = sample.percentiles_us[percent]
        if sample.short or whole.total * (1 - share) < BEYOND_MIN:
            return Estimate(value=_log(value_us), error=inf)
        found = st.ratio(sample.at_most[percent], sample.answered)
        return Estimate(
            value=_log(value_us),
            error=_value_error(whole, share, found.error),
            freedom=found.freedom,
        )

    return of


def _value_error(whole: Distribution, share: float, error: float) -> float:
    """Woodruff: the values at the share less and plus its error are the value less and plus its own."""
    low, high = share - error, share + error
    if low <= 0 or high >= 1 - 0.5 / whole.total:
        return inf
    spread = (_log(whole.at(100 * high)) - _log(whole.at(100 * low))) / 2
    return max(spread, _RESOLUTION)


def _mean(sample: Sample) -> Estimate:
    if not sample.response.total:
        return NOTHING
    if sample.short:
        return Estimate(value=_log(sample.response.mean_us), error=inf)
    measured = [one.response for one in sample.stretches]
    found = st.ratio([0.0 if one is None else one.mean_ms * one.count for one in measured], sample.answered)
    return Estimate(
        value=log(max(found.value, 1e-6)),
        error=max(found.error / max(found.value, 1e-6), _RESOLUTION),
        freedom=found.freedom,
    )


def _completed(due_of: Callable[[Sample], Sequence[float]], most: float = inf) -> Callable[[Sample], Estimate]:
    """Against what was due in each second, so that neither a profile nor another rate is a difference; against the clock
    where one of the two runs has no schedule. `most` cuts off what falls on an edge and makes it more than all."""

    def of(sample: Sample) -> Estimate:
        completed, due = sample.numbers("completed"), due_of(sample)
        if not any(completed) or not any(due):
            return Estimate(value=-inf, error=inf if sample.short or not any(due) else _RESOLUTION)
        if sample.short:
            return Estimate(value=log(min(most, sum(completed) / sum(due))), error=inf)
        found = st.ratio(completed, due)
        error = max(found.error / found.value, _RESOLUTION)
        return Estimate(value=log(min(most, found.value)), error=error, freedom=found.freedom)

    return of


def _errors(sample: Sample) -> Estimate:
    """What is uncovered is left out: it is the death of a worker, and nothing of what was loaded. Of a short run the error
    is that of so many single events."""
    bad, whole = sample.numbers("failed", "dropped", "wrong"), sample.numbers("intended")
    if not sample.short:
        return st.ratio(bad, whole)
    total = sum(whole)
    share = sum(bad) / total if total else 0.0
    return Estimate(value=share, error=sqrt(share * (1 - share) / total) if total else inf, freedom=max(1.0, total - 1))


def errors_by_chance(a: Sample, b: Sample) -> float:
    """The probability of error counts as unlike as these if both runs are alike."""
    counts = [int(sum(one.numbers("failed", "dropped", "wrong"))) for one in (a, b)]
    wholes = [sum(one.numbers("intended")) for one in (a, b)]
    return st.conditional_test(counts[0], wholes[0], counts[1], wholes[1])


def _log(value_us: float) -> float:
    """Of a latency in milliseconds."""
    return log(max(value_us, 1) / 1000)


def _ms(value: float) -> str:
    return words.ms(value) if value else "-"


def _per_s(value: float) -> str:
    return f"{words.rate(value)}/s"


def _part(value: float) -> str:
    return words.percent(value, 1.0)


def metrics_of(a: Sample, b: Sample) -> tuple[Metric, ...]:
    """What is compared of these two."""
    if a.scheduled and b.scheduled:
        completed = Metric(name="completed of due", better=1, shown=_part, of=_completed(lambda one: one.due, most=1.0))
    else:
        completed = Metric(name="completed", better=1, shown=_per_s, of=_completed(lambda one: one.lengths))
    return (*LATENCIES, completed, ERRORS)


LATENCIES: Final = (
    *(Metric(name=f"response p{one:g}", better=-1, shown=_ms, of=_percentile(one)) for one in PERCENTILES),
    Metric(name="response mean", better=-1, shown=_ms, of=_mean),
)
ERRORS: Final = Metric(name="errors", better=-1, shown=_part, of=_errors, share=True)
