"""What of a run is compared: each figure with its error. Pure.

A percentile is one of all responses of a run. Its error is found by asking, second by second, which share of the responses
lay at or below it, and turning the error of that share into one of the value: R. S. Woodruff, "Confidence intervals for
medians and other position measures", Journal of the American Statistical Association 47 (1952) 635-646. Figures that have no
upper end are taken as logarithms, so that differences of them are ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, log
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
    """One run's seconds, without the warm-up, and without those at both ends that are no whole seconds."""

    def __init__(self, run: Run) -> None:
        from_s = float(run.task.get("warm_up_s") or 0.0)
        due_s = scheduled_s(run.task)
        until_s = inf if due_s is None else due_s + 1e-6
        self.width_s = run.width_s
        self.stretches: Sequence[Stretch] = [
            one for one in run.stretches if from_s <= one.second - run.began_at <= until_s - one.width_s
        ]
        wanted = [arrivals_wanted(run.task, one.second, one.second + one.width_s) for one in self.stretches]
        #: What each stretch is measured against: arrivals that were due, or seconds.
        self.scheduled = not any(due is None for due in wanted)
        self.due = [float(self.width_s) if due is None else due for due in wanted]
        self.response = distribution(one.response_us for one in self.stretches)

    @property
    def seconds(self) -> int:
        return len(self.stretches)

    def numbers(self, *names: str) -> list[float]:
        return [float(sum(one.numbers.get(name, 0) for name in names)) for one in self.stretches]

    def at_most(self, value_us: int) -> tuple[list[float], list[float]]:
        """In each second how many responses took this long at most, and how many there were."""
        each = [distribution([one.response_us]) for one in self.stretches]
        return [float(one.at_most(value_us)) for one in each], [float(one.total) for one in each]


def _percentile(percent: float) -> Callable[[Sample], Estimate]:
    def of(sample: Sample) -> Estimate:
        whole, share = sample.response, percent / 100
        if sample.seconds < SECONDS_MIN or whole.total * (1 - share) < BEYOND_MIN:
            return Estimate(value=_log(whole.at(percent)), error=inf)
        value_us = whole.at(percent)
        found = st.ratio(*sample.at_most(value_us))
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
    if sample.seconds < SECONDS_MIN or not sample.response.total:
        return Estimate(value=_log(sample.response.mean_us), error=inf)
    measured = [one.response for one in sample.stretches]
    sums = [0.0 if one is None else one.mean_ms * one.count for one in measured]
    found = st.ratio(sums, [0.0 if one is None else float(one.count) for one in measured])
    return Estimate(
        value=log(max(found.value, 1e-6)),
        error=max(found.error / max(found.value, 1e-6), _RESOLUTION),
        freedom=found.freedom,
    )


def _completed(sample: Sample) -> Estimate:
    """Against what was due in each second, so that neither a profile nor another rate is a difference; in the closed model
    against the clock."""
    completed = sample.numbers("completed")
    if sample.seconds < SECONDS_MIN or not sum(completed):
        share = sum(completed) / sum(sample.due) if sum(sample.due) else 0.0
        return Estimate(value=log(max(share, 1e-6)), error=inf)
    found = st.ratio(completed, sample.due)
    return Estimate(value=log(found.value), error=max(found.error / found.value, _RESOLUTION), freedom=found.freedom)


def _errors(sample: Sample) -> Estimate:
    """What is uncovered is left out: it is the death of a worker, and nothing of what was loaded."""
    return st.ratio(sample.numbers("failed", "dropped", "wrong"), sample.numbers("intended"))


def errors_by_chance(a: Sample, b: Sample) -> float:
    """The probability of error counts as unlike as these if both runs are alike."""
    counts = [int(sum(one.numbers("failed", "dropped", "wrong"))) for one in (a, b)]
    wholes = [sum(one.numbers("intended")) for one in (a, b)]
    return st.conditional_test(counts[0], wholes[0], counts[1], wholes[1])


def _log(value_us: float) -> float:
    """Of a latency in milliseconds."""
    return log(max(value_us, 1) / 1000)


def _per_s(value: float) -> str:
    return f"{words.rate(value)}/s"


def _part(value: float) -> str:
    return words.percent(value, 1.0)


def metrics_of(a: Sample, b: Sample) -> tuple[Metric, ...]:
    """What is compared of these two."""
    shown = _part if a.scheduled and b.scheduled else _per_s
    name = "completed of due" if a.scheduled and b.scheduled else "completed"
    return (*LATENCIES, Metric(name=name, better=1, shown=shown, of=_completed), ERRORS)


LATENCIES: Final = (
    Metric(name="response p50", better=-1, shown=words.ms, of=_percentile(50)),
    Metric(name="response p90", better=-1, shown=words.ms, of=_percentile(90)),
    Metric(name="response p99", better=-1, shown=words.ms, of=_percentile(99)),
    Metric(name="response mean", better=-1, shown=words.ms, of=_mean),
)
ERRORS: Final = Metric(name="errors", better=-1, shown=_part, of=_errors, share=True)
