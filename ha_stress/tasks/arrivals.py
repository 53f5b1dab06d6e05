"""When the arrivals of a profile happen. Pure, exact, with random access: any process computes any arrival by itself.

The rate over time, added up, is the number of arrivals that are expected by then; arrival n happens when that reaches n:

    expected                                          `expected(t)`   arrivals by time t, a real number
        4 |                    ___------              `when(x)`       the inverse: the last moment with expected(t) <= x
        3 |            ___-----                       `due_s(n)`      when(n) for even distances;
        2 |       _---' (a pause)                                     when(sum of n + 1 exponentials) for Poisson
        1 |   _--'                                    `before(t)`     how many arrivals are due before t
        0 +--'-----------------------> t

Where the rate is 0 nothing is due: an arrival that falls on such a stretch happens at its end, or never. Rounding does not
count: 500/s for 20 s are exactly 10,000.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import ceil, cos, fsum, inf, pi, sin, sqrt
from typing import TYPE_CHECKING, Final, Protocol

from ha_stress.tasks.profile import Profile, Stage

if TYPE_CHECKING:
    from ha_stress.tasks.exponentials import Exponentials

#: Two or three are usual; where the rate is nearly 0 they do not get there.
_NEWTON_STEPS: Final = 8
#: How exact a moment is, relative to itself: a few units of the last place.
_BLUR: Final = 1e-15
#: A last step as small as this leaves nothing: each squares what is wrong.
_CLOSE: Final = 1e-9


def count_before(expected: float, blur: float = 0.0) -> int:
    """How many whole numbers n >= 0 are below `expected`; what differs from one only by rounding counts as that one.
    `blur` is how far rounding may reach, if it is more than usual."""
    if expected <= 0:
        return 0
    nearest = round(expected)
    if abs(expected - nearest) <= max(1e-9 * max(1.0, expected), blur):
        return nearest
    return ceil(expected)


class Intensity(Protocol):
    """A rate over time, added up from 0."""

    def expected_and_rate(self, seconds: float) -> tuple[float, float]:
        """Arrivals expected in the first `seconds`, and how many come per second then."""

    def when(self, expected: Sequence[float]) -> list[float]:
        """For each of these (ascending) the last moment by which no more were expected; infinite if it never gets more."""


class Lines:
    """Stages one after another, then a constant rate for ever: a closed form in both directions."""

    def __init__(self, stages: Iterable[Stage], rate: float) -> None:
        self._begins_s: list[float] = []
        self._sums: list[float] = []  # expected at the end of each stage
        self._shapes: list[
            tuple[float, float, float, float, float]
        ] = []  # begin_s, expected by then, rate, slope, length
        lengths: list[float] = []
        areas: list[float] = []
        at_s = total = 0.0
        for stage in stages:
            slope = (stage.end - stage.begin) / stage.duration_s
            self._shapes.append((at_s, total, stage.begin, slope, stage.duration_s))
            self._begins_s.append(at_s)
            lengths.append(stage.duration_s)
            areas.append(stage.duration_s * (stage.begin + stage.end) / 2)
            at_s, total = fsum(lengths), _whole(fsum(areas))
            self._sums.append(total)
            rate = stage.end
        self._begins_s.append(at_s)
        self._shapes.append((at_s, total, rate, 0.0, inf))
        self._sums.append(inf if rate > 0 else total)

    def expected_and_rate(self, seconds: float) -> tuple[float, float]:
        if seconds <= 0:
            return 0.0, self._shapes[0][2]
        index = bisect_right(self._begins_s, seconds) - 1
        begin_s, before, rate, slope, _ = self._shapes[index]
        into_s = seconds - begin_s
        return min(before + into_s * (rate + slope * into_s / 2), self._sums[index]), rate + slope * into_s

    def when(self, expected: Sequence[float]) -> list[float]:
        moments: list[float] = []
        index, end = 0, -1.0
        begin_s = before = rate = slope = length_s = 0.0
        for one in expected:
            if one >= end:
                index = bisect_right(self._sums, one)
                if index == len(self._sums):
                    moments += [inf] * (len(expected) - len(moments))
                    break
                end = self._sums[index]
                begin_s, before, rate, slope, length_s = self._shapes[index]
            # Of the two forms of the root of rate * x + slope * x * x / 2 = more this one subtracts nothing from its like.
            more = one - before
            root = rate + sqrt(max(0.0, rate * rate + 2 * slope * more))
            moments.append(begin_s + (min(2 * more / root, length_s) if root > 0 else 0.0))
        return moments


class Wave:
    """A sine added to lines, whose rate is never below its amplitude: so the sum never falls."""

    def __init__(self, lines: Lines, amplitude: float, period_s: float) -> None:
        self._lines = lines
        self._amplitude = amplitude
        self._period_s = period_s
        self._height = amplitude * period_s / (2 * pi)  # half of what the sine adds at most

    def expected_and_rate(self, seconds: float) -> tuple[float, float]:
        expected, rate = self._lines.expected_and_rate(seconds)
        if seconds <= 0:
            return expected, rate
        angle = 2 * pi * (seconds % self._period_s / self._period_s)
        return expected + self._height * (1 - cos(angle)), rate + self._amplitude * sin(angle)

    def when(self, expected: Sequence[float]) -> list[float]:
        """Newton's method from one to the next; a step too far falls back to a search inside what is known for certain."""
        moments: list[float] = []
        guess, off, rate = 0.0, 0.0, 0.0
        for one in expected:
            if rate > 0:
                guess += (one - off) / rate
            for _ in range(_NEWTON_STEPS):
                off, rate = self.expected_and_rate(guess)
                step = (one - off) / rate if rate > 0 else inf
                if abs(step) <= _CLOSE * guess:
                    guess += step
                    break
                guess += step
                if not 0 < guess < inf:
                    guess = self._search(one)
                    break
            else:
                guess = self._search(one)
            off = one
            moments.append(guess)
        return moments

    def _search(self, expected: float) -> float:
        """Bisection. The sine adds between nothing and twice its height."""
        if expected <= 0:
            return 0.0
        low, high = self._lines.when([max(0.0, expected - 2 * self._height), expected])
        while low < (middle := (low + high) / 2) < high:
            if self.expected_and_rate(middle)[0] > expected:
                high = middle
            else:
                low = middle
        return low


class Arrivals:
    """The arrivals of one profile, numbered from 0."""

    def __init__(self, intensity: Intensity, exponentials: Exponentials | None) -> None:
        self._intensity = intensity
        self._exponentials = exponentials

    def due_s(self, number: int) -> float:
        """When arrival `number` is due, after the beginning of the profile; infinite if it never is."""
        return self.dues_s((number,))[0]

    def dues_s(self, numbers: Sequence[int]) -> list[float]:
        """The same for many, ascending: cheaper than one by one."""
        points = numbers if self._exponentials is None else self._exponentials.sums(numbers)
        return self._intensity.when(points)

    def before(self, seconds: float) -> int:
        """How many arrivals are due before `seconds`."""
        expected, rate = self._intensity.expected_and_rate(seconds)
        if self._exponentials is None:
            return count_before(expected, rate * seconds * _BLUR)  # after a long pause a moment is not that exact
        count = self._exponentials.below(expected)
        # The inverse is not exact to the last bit; whoever cuts the schedule at an arrival wants that very arrival next.
        while count and self.due_s(count - 1) >= seconds:
            count -= 1
        return count

    def expected(self, seconds: float) -> float:
        """How many are expected in the first `seconds`, a real number."""
        return self._intensity.expected_and_rate(seconds)[0]


@lru_cache(maxsize=64)
def arrivals_of(profile: Profile | None, rate: float) -> Arrivals:
    """`rate` counts where the profile has no stages. Built once, as everybody who asks shares what it has computed."""
    stages = () if profile is None else profile.stages
    lines = Lines(stages, rate)
    intensity: Intensity = lines
    if profile is not None and profile.sine_amplitude:
        intensity = Wave(lines, profile.sine_amplitude, profile.sine_period_s)
    if profile is None or profile.poisson_seed is None:
        return Arrivals(intensity, None)
    from ha_stress.tasks.exponentials import Exponentials  # loads hashlib, which nothing else in an engine needs

    return Arrivals(intensity, Exponentials(profile.poisson_seed))


def _whole(value: float) -> float:
    """A sum that differs from a whole number only by rounding is that number."""
    near = float(round(value))
    return near if abs(value - near) <= 1e-9 * max(1.0, value) else value
