"""Two runs: what differs, by how much, and whether that can be chance. Pure.

A percentile is one of all responses of a run. Its error is found by asking, second by second, which share of the responses
lay at or below it, and turning the error of that share into one of the value: R. S. Woodruff, "Confidence intervals for
medians and other position measures", Journal of the American Statistical Association 47 (1952) 635-646. Differences are
ratios, so they are taken between logarithms. What is tested together (`METRICS`) shares the 5 % that chance may have
(Bonferroni): of a hundred pairs of equal runs about five at most show any difference at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, exp, inf, isfinite, log, sqrt
from statistics import NormalDist
from typing import Any, Final

from ha_stress.report import statistics as st
from ha_stress.report import words
from ha_stress.report.run import Run, Stretch
from ha_stress.report.statistics import Estimate
from ha_stress.report.target import scheduled_s
from ha_stress.tasks.distribution import Distribution, distribution

#: What chance may have, over all metrics of one comparison.
ALPHA: Final = 0.05
#: Differences below this are of no interest, however surely they are there.
MARGIN: Final = 0.01
#: The probability with which a difference shall be found that is there, where it is said how long to measure.
POWER: Final = 0.8
#: Fewer seconds than this of a run say nothing of how much seconds differ.
SECONDS_MIN: Final = 6
#: So many responses must lie beyond a percentile, or it is a matter of a few requests.
BEYOND_MIN: Final = 10
#: HdrHistogram keeps three digits: values closer than this are the same.
_RESOLUTION: Final = 0.001


class Result(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    SAME = "same"  # a difference is shown, or excluded, to be below the margin
    UNKNOWN = "unknown"  # none can be shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`better` is -1 where less is better, 1 where more is. `shown` formats a value."""

    name: str
    better: int
    shown: Callable[[float], str]
    of: Callable[[Sample], Estimate]  # the logarithm, but for a share
    share: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """B against A in one metric. `change`, `low` and `high` are relative (0.12 is 12 % more), or, of a share, absolute;
    `low` and `high` bound what the change may truly be. `more_s`: so many seconds more of each run would show a difference
    as large as the observed one (None: it is shown, or no measuring would help)."""

    metric: str
    a: float
    b: float
    change: float
    low: float
    high: float
    p: float
    result: Result
    more_s: int | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]
    confidence: float

    @property
    def regressed(self) -> bool:
        return any(one.result is Result.WORSE for one in self.differences)

    @property
    def sentence(self) -> str:
        worse = [one for one in self.differences if one.result is Result.WORSE]
        better = [one for one in self.differences if one.result is Result.BETTER]
        parts = [
            f"B is {kind}: " + "; ".join(one.sentence for one in found)
            for kind, found in (("worse", worse), ("better", better))
            if found
        ]
        return ". ".join(parts) + "." if parts else "No difference that matters can be shown."


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


def compare(a: Run, b: Run, *, margin: float = MARGIN) -> Comparison:
    """What B has that A has not. `margin` is relative; of a share it is a part of 1."""
    samples = Sample(a), Sample(b)
    confidence = 1 - ALPHA / len(METRICS)
    found = tuple(_difference(metric, *samples, confidence, margin) for metric in METRICS)
    return Comparison(differences=found, remarks=tuple(remarks(a, b, *samples)), confidence=confidence)


def _difference(metric: Metric, a: Sample, b: Sample, confidence: float, margin: float) -> Difference:
    one, other = metric.of(a), metric.of(b)
    off, error = other.value - one.value, sqrt(one.error**2 + other.error**2)
    freedom = st.degrees(one, other)
    reach = st.student_t(round(confidence, 9), round(freedom, 1)) * error if isfinite(error) else inf
    p = st.two_sided(off / error, freedom) if isfinite(error) and error else (0.0 if off and isfinite(error) else 1.0)
    if metric.share:
        # Few errors have no bell curve, and errors in bursts are no single events: both tests must find it.
        p = max(p, _counted(a, b))
        values, change, low, high = (one.value, other.value), off, off - reach, off + reach
        if p > 1 - confidence:
            low, high = min(low, 0.0), max(high, 0.0)
    else:
        values = exp(one.value) if isfinite(one.value) else 0.0, exp(other.value) if isfinite(other.value) else 0.0
        change, low, high = _relative(off), _relative(off - reach), _relative(off + reach)
    result = _result(metric, low, high, 0.0 if metric.share else margin)
    more_s = _more_s(result, off, error, confidence, a, b)
    difference = Difference(
        metric=metric.name,
        a=values[0],
        b=values[1],
        change=change,
        low=low,
        high=high,
        p=p,
        result=result,
        more_s=more_s,
        sentence="",
    )
    return replace(difference, sentence=_sentence(metric, difference))


def _result(metric: Metric, low: float, high: float, margin: float) -> Result:
    if low > margin or high < -margin:
        return Result.BETTER if (low > 0) == (metric.better > 0) else Result.WORSE
    if -margin <= low and high <= margin:
        return Result.SAME
    return Result.UNKNOWN


def _more_s(result: Result, off: float, error: float, confidence: float, a: Sample, b: Sample) -> int | None:
    """Errors shrink with the root of the time."""
    if result is not Result.UNKNOWN or not off or not isfinite(error) or not error:
        return None
    normal = NormalDist()
    wanted = normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(POWER)
    seconds = min(a.seconds * a.width_s, b.seconds * b.width_s)
    more = seconds * ((wanted * error / off) ** 2 - 1)
    return ceil(more) if 0 < more < 86_400 else None


def _sentence(metric: Metric, found: Difference) -> str:
    if not isfinite(found.low) or not isfinite(found.high):
        return f"{metric.name}: too little was measured"
    change, limits = bounds(found, share=metric.share)
    both = f"{metric.name} {change} {limits}, {metric.shown(found.a)} to {metric.shown(found.b)}"
    if found.result in (Result.BETTER, Result.WORSE):
        return f"{both}, significant"
    if found.result is Result.SAME:
        return f"{both}: no difference that matters"
    needs = f" (needs about {words.seconds(found.more_s)} more of each)" if found.more_s else ""
    return f"{both}: no difference can be shown{needs}"


def bounds(found: Difference, *, share: bool) -> tuple[str, str]:
    """The change and what it may truly be: "+12 %", "[8, 17]". Shares change by points of a hundred."""
    unit = "points" if share else "%"
    if not isfinite(found.low) or not isfinite(found.high):
        return "-", "-"
    return f"{100 * found.change:+.3g} {unit}", f"[{100 * found.low:.3g}, {100 * found.high:.3g}]"


def remarks(a: Run, b: Run, sample_a: Sample, sample_b: Sample) -> list[str]:
    """Why the two might differ without B being any better or worse."""
    found = []
    for key, name in (("url", "URL"), ("method", "method"), ("rate", "rate"), ("users", "number of users")):
        if a.task.get(key) != b.task.get(key):
            found.append(f"The {name} differs: {a.task.get(key)} and {b.task.get(key)}.")
    for name, run, sample in (("A", a, sample_a), ("B", b, sample_b)):
        if sample.seconds < SECONDS_MIN:
            found.append(f"{name} has only {sample.seconds} whole seconds: nothing can be shown with them.")
        if (run.task.get("verdict") or {}).get("valid") is False:
            found.append(f"{name} is not a valid run: its figures may be those of the generator.")
        if run.failovers:
            found.append(f"{name} had {len(run.failovers)} failover(s).")
    return found


def _relative(off: float) -> float:
    return exp(min(off, 700.0)) - 1


# The metrics.


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
        return Estimate(value=0.0, error=inf)
    measured = [one.response for one in sample.stretches]
    sums = [0.0 if one is None else one.mean_ms * one.count for one in measured]
    found = st.ratio(sums, [0.0 if one is None else float(one.count) for one in measured])
    return Estimate(
        value=log(max(found.value, 1e-6)),
        error=max(found.error / max(found.value, 1e-6), _RESOLUTION),
        freedom=found.freedom,
    )


def _throughput(sample: Sample) -> Estimate:
    if sample.seconds < SECONDS_MIN or not sum(sample.numbers("completed")):
        return Estimate(value=0.0, error=inf)
    found = st.ratio(sample.numbers("completed"), [float(sample.width_s)] * sample.seconds)
    return Estimate(
        value=log(found.value),
        error=max(found.error / found.value, _RESOLUTION),
        freedom=found.freedom,
    )


def _errors(sample: Sample) -> Estimate:
    return st.ratio(sample.numbers("failed", "dropped", "wrong"), sample.numbers("intended"))


def _counted(a: Sample, b: Sample) -> float:
    counts = [int(sum(one.numbers("failed", "dropped", "wrong"))) for one in (a, b)]
    wholes = [sum(one.numbers("intended")) for one in (a, b)]
    return st.conditional_test(counts[0], wholes[0], counts[1], wholes[1])


def _log(value_us: int) -> float:
    return log(max(value_us, 1))


def _us(value: float) -> str:
    return words.ms(value / 1000)


def _per_s(value: float) -> str:
    return f"{words.rate(value)}/s"


def _part(value: float) -> str:
    return words.percent(value, 1.0)


METRICS: Final = (
    Metric(name="response p50", better=-1, shown=_us, of=_percentile(50)),
    Metric(name="response p90", better=-1, shown=_us, of=_percentile(90)),
    Metric(name="response p99", better=-1, shown=_us, of=_percentile(99)),
    Metric(name="response mean", better=-1, shown=words.ms, of=_mean),
    Metric(name="completed", better=1, shown=_per_s, of=_throughput),
    Metric(name="errors", better=-1, shown=_part, of=_errors, share=True),
)


def document_of(found: Comparison) -> dict[str, Any]:
    """As JSON; infinite bounds are null."""

    def finite(value: float) -> float | None:
        return round(value, 6) if isfinite(value) else None

    return {
        "schema": "ha-stress-comparison/1",
        "confidence": found.confidence,
        "regressed": found.regressed,
        "sentence": found.sentence,
        "remarks": list(found.remarks),
        "differences": [
            {
                "metric": one.metric,
                "a": finite(one.a),
                "b": finite(one.b),
                "change": finite(one.change),
                "low": finite(one.low),
                "high": finite(one.high),
                "p": finite(one.p),
                "result": one.result.value,
                "more_s": one.more_s,
                "sentence": one.sentence,
            }
            for one in found.differences
        ],
    }
