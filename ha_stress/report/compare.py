"""Two runs: what differs, by how much, and whether that can be chance. Pure.

What is tested together (`metrics_of`) shares the 5 % that chance may have (Bonferroni): of a hundred pairs of equal runs
about five at most show any difference at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, exp, inf, isfinite, sqrt
from statistics import NormalDist
from typing import Any, Final

from ha_stress.report import statistics as st
from ha_stress.report import words
from ha_stress.report.metrics import Metric, Sample, errors_by_chance, metrics_of
from ha_stress.report.run import Run

#: What chance may have, over all metrics of one comparison.
ALPHA: Final = 0.05
#: Differences below this are of no interest, however surely they are there.
MARGIN: Final = 0.01
#: The probability with which a difference shall be found that is there, where it is said how long to measure.
POWER: Final = 0.8
#: From a change to (1 + this) times on it reads better as a factor.
_FOLD: Final = 2.0
#: Bounds that are further away say nothing: there are too few seconds, or they are too alike.
_WILD: Final = 1000.0
#: Beyond it a float has no power of e.
_EXPONENT_MAX: Final = 700.0


class Result(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    SAME = "same"  # a difference is shown, or excluded, to be below the margin
    UNKNOWN = "unknown"  # none can be shown


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
    metrics: tuple[Metric, ...]
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]
    confidence: float
    too_short: str = ""  # A or B, whichever says nothing of how much its seconds differ

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
        if not parts and self.too_short:
            return f"{self.too_short} is too short to be compared."
        return ". ".join(parts) + "." if parts else "No difference that matters can be shown."


def compare(a: Run, b: Run, *, margin: float = MARGIN) -> Comparison:
    """What B has that A has not. `margin` is relative; of a share it is a part of 1."""
    samples = Sample(a), Sample(b)
    metrics = metrics_of(*samples)
    confidence = 1 - ALPHA / len(metrics)
    return Comparison(
        metrics=metrics,
        differences=tuple(_difference(metric, *samples, confidence, margin) for metric in metrics),
        remarks=tuple(remarks(a, b, *samples)),
        confidence=confidence,
        too_short=next((name for name, sample in zip("BA", reversed(samples), strict=True) if sample.short), ""),
    )


def _difference(metric: Metric, a: Sample, b: Sample, confidence: float, margin: float) -> Difference:
    one, other = metric.of(a), metric.of(b)
    off, error = 0.0 if other.value == one.value else other.value - one.value, sqrt(one.error**2 + other.error**2)
    freedom = st.degrees(one, other)
    reach = st.student_t(round(confidence, 9), round(freedom, 1)) * error if isfinite(error) else inf
    p = st.two_sided(off / error, freedom) if isfinite(error) and error else (0.0 if off and isfinite(error) else 1.0)
    if metric.share:
        # Few errors have no bell curve, and errors in bursts are no single events: both tests must find it.
        p = max(p, errors_by_chance(a, b))
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
    change, limits = bounds(found, share=metric.share)
    if change == "-":
        return f"{metric.name}: too little was measured"
    both = f"{' '.join([metric.name, change, *limits.split()])}, {metric.shown(found.a)} to {metric.shown(found.b)}"
    if found.result in (Result.BETTER, Result.WORSE):
        return f"{both}, significant"
    if found.result is Result.SAME:
        return f"{both}: no difference that matters"
    needs = f" (needs about {words.seconds(found.more_s)} more of each)" if found.more_s else ""
    return f"{both}: no difference can be shown{needs}"


def bounds(found: Difference, *, share: bool) -> tuple[str, str]:
    """The change and what it may truly be: "+12 %", "[8, 17]"; from threefold on as "x 4.2", "[3.1, 5]". Shares change by
    points of a hundred."""
    if found.result in (Result.BETTER, Result.WORSE) and not share and not (found.a and found.b):
        return ("from nothing" if found.b else "-100 %"), ""
    if not isfinite(found.low) or not isfinite(found.high):
        return "-", "-"
    if not share and found.high > _WILD:
        return f"x {_three(1 + found.change)}", "unknown"
    if not share and (found.change >= _FOLD or found.change <= 1 / (1 + _FOLD) - 1):
        return f"x {_three(1 + found.change)}", f"[{_three(1 + found.low)}, {_three(1 + found.high)}]"
    unit = "points" if share else "%"
    return f"{_signed(100 * found.change)} {unit}", f"[{_three(100 * found.low)}, {_three(100 * found.high)}]"


def _signed(value: float) -> str:
    """Two digits that count, without an exponent."""
    return f"{value:+,.0f}" if abs(value) >= 9.5 else f"{value:+.2g}"


def _three(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def remarks(a: Run, b: Run, sample_a: Sample, sample_b: Sample) -> list[str]:
    """Why the two might differ without B being any better or worse."""
    found = []
    for key, name in (("url", "URL"), ("method", "method"), ("rate", "rate"), ("users", "number of users")):
        if (one := a.task.get(key) or 0) != (other := b.task.get(key) or 0):
            both = [f"{it:g}" if isinstance(it, int | float) else str(it) for it in (one, other)]
            found.append(f"The {name} differs: {both[0]} and {both[1]}.")
    for name, run, sample in (("A", a, sample_a), ("B", b, sample_b)):
        if sample.short:
            found.append(f"{name} has only {sample.seconds} whole seconds: nothing but errors can be shown with them.")
        if (run.task.get("verdict") or {}).get("valid") is False:
            found.append(f"{name} is not a valid run: its figures may be those of the generator.")
        if run.failovers:
            found.append(
                f"{name} had {'a failover' if len(run.failovers) == 1 else f'{len(run.failovers)} failovers'}."
            )
    return found


def _relative(off: float) -> float:
    return inf if off > _EXPONENT_MAX else exp(off) - 1


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
