"""The arithmetic of `compare`: what is known of a figure that was measured second by second, and how surely. Pure.

Seconds are not independent: a slow one is followed by a slow one. The error of a figure is therefore estimated in two ways,
and the larger one counts. What drifts more slowly than a tenth of a run neither of them sees: for that, runs are repeated.

    ratio             sum(x) / sum(n) over the seconds, with its standard error from
                      (a) the number of independent seconds that n autocorrelated ones are worth, n (1 - r) / (1 + r): G. V.
                      Bayley and J. M. Hammersley, Suppl. to the Journal of the Royal Statistical Society 8 (1946) 184-197
                      (b) the means of ten equal batches: R. W. Conway, Management Science 10 (1963) 47-61
    student_t         quantile of Student's distribution, by the incomplete beta function: W. H. Press et al., "Numerical
                      Recipes", 3rd ed. (2007), 6.4
    degrees           of freedom for two samples of unequal variance: B. L. Welch, Biometrika 34 (1947) 28-35
    conditional_test  two counts, exactly: given their sum, one of them is binomial; J. Przyborowski and H. Wilenski,
                      Biometrika 31 (1940) 313-323
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp, inf, isinf, lgamma, log, log1p, sqrt
from typing import Final

#: Fewer say too little of their own spread, more are too short to be independent.
BATCHES: Final = 10
#: Seconds that are more alike than this are worth next to nothing, however many there are.
_CORRELATION_MAX: Final = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its standard error, and how many degrees of freedom that error was estimated with."""

    value: float
    error: float
    freedom: float = 1.0


def ratio(x: Sequence[float], n: Sequence[float]) -> Estimate:
    """sum(x) / sum(n), where x and n belong to the same seconds."""
    whole = sum(n)
    if not whole or len(x) < 3:
        return Estimate(value=0.0, error=inf)
    value = sum(x) / whole
    # The ratio is off by the sum of these, divided by the whole (the usual linearisation of a ratio).
    off = [one - value * count for one, count in zip(x, n, strict=True)]
    error, freedom = max(_by_correlation(off), _by_batches(off))
    return Estimate(value=value, error=error * len(off) / abs(whole), freedom=freedom)


def _by_correlation(off: Sequence[float]) -> tuple[float, float]:
    """(standard error of the mean, degrees of freedom)."""
    size = len(off)
    rho = min(autocorrelation(off), _CORRELATION_MAX)
    worth = max(2.0, size * (1 - rho) / (1 + rho))
    return sqrt(_variance(off) / worth), max(1.0, worth - 1)


def _by_batches(off: Sequence[float]) -> tuple[float, float]:
    """The same. What is left over at the end is in no batch."""
    count = min(len(off), BATCHES)
    length = len(off) // count
    means = [sum(off[i * length : (i + 1) * length]) / length for i in range(count)]
    return sqrt(_variance(means) / count), float(count - 1)


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def autocorrelation(values: Sequence[float]) -> float:
    """Between neighbours; 0 if it cannot be told from none. A short series shows about (1 + 3 r) / n too little (M. G.
    Kendall, Biometrika 41 (1954) 403-404)."""
    size = len(values)
    mean = sum(values) / size
    off = [value - mean for value in values]
    squares = sum(value * value for value in off)
    if not squares:
        return 0.0
    rho = sum(one * other for one, other in pairwise(off)) / squares
    corrected = rho + (1 + 3 * rho) / size
    return corrected if corrected > 1 / sqrt(size) else 0.0


def degrees(a: Estimate, b: Estimate) -> float:
    """Of freedom, for the difference of two figures."""
    squares = a.error**2 + b.error**2
    if not squares or isinf(squares):
        return float(min(a.freedom, b.freedom))
    return squares**2 / (a.error**4 / a.freedom + b.error**4 / b.freedom)


@lru_cache(maxsize=256)
def student_t(confidence: float, freedom: float) -> float:
    """The t within which a figure lies with this confidence (0 to 1), on both sides."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        if two_sided(middle, freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def two_sided(t: float, freedom: float) -> float:
    """The probability of a t at least this far from 0 by chance."""
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Its continued fraction, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    result = d
    for m in range(1, 300):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + step * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + step / c
            c = c if abs(c) > tiny else tiny
            result *= d * c
        if abs(d * c - 1) < 1e-12:
            break
    return result


def conditional_test(count_a: int, whole_a: float, count_b: int, whole_b: float) -> float:
    """The probability, if both have the same rate, of counts at least as unlike as these: twice the smaller tail."""
    total = count_a + count_b
    if not total or whole_a <= 0 or whole_b <= 0:
        return 1.0
    share = whole_a / (whole_a + whole_b)
    below = _binomial_at_most(count_a, total, share)
    above = 1.0 if count_a == 0 else 1 - _binomial_at_most(count_a - 1, total, share)
    return min(1.0, 2 * min(below, above))


def _binomial_at_most(count: int, total: int, share: float) -> float:
    """By the incomplete beta function, as sums of many terms are slow and inexact."""
    return 1.0 if count >= total else _beta(total - count, count + 1, 1 - share)
