"""From values to places on an axis, and the values worth a mark on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final, Protocol

_TIME_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


class Scale(Protocol):
    """An axis."""

    def place(self, value: float) -> float:
        """0 at the beginning of the axis, 1 at its end; values outside are taken to the nearer end."""

    def ticks(self) -> list[tuple[float, str]]:
        """Values to mark, each with its label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """From 0 to `high`."""

    high: float
    count: int = 5

    def place(self, value: float) -> float:
        return min(max(value / self.high, 0.0), 1.0) if self.high else 0.0

    def ticks(self) -> list[tuple[float, str]]:
        step = nice_step(self.high / self.count)
        digits = max(0, -floor(log10(step) + 1e-9)) if step < 1 else 0
        return [(step * i, f"{step * i:,.{digits}f}") for i in range(floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Logarithmic:
    """From `low` to `high`, both above 0: each tenfold is as wide as any other. The labels are milliseconds."""

    low: float
    high: float

    def place(self, value: float) -> float:
        if value <= self.low:
            return 0.0
        return min(log10(value / self.low) / log10(self.high / self.low), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        decades = log10(self.high / self.low)
        parts = (1, 2, 5) if decades <= 2.6 else (1, 3) if decades <= 4 else (1,)
        found = [
            part * 10.0**power for power in range(floor(log10(self.low)), ceil(log10(self.high)) + 1) for part in parts
        ]
        return [(value, milliseconds(value)) for value in found if self.low * 0.999 <= value <= self.high * 1.001]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nines:
    """Shares of all values: each further nine is as wide as the one before. `most` is how many nines there is data for;
    `half` whether there is room to mark the median."""

    most: float
    half: bool = True

    def place(self, value: float) -> float:
        return min(self.nines(value) / self.most, 1.0)

    def nines(self, share: float) -> float:
        return self.most if share >= 1 else min(-log10(1 - share), self.most)

    def ticks(self) -> list[tuple[float, str]]:
        marks = [(0.0, "0 %"), (0.5, "50 %")] if self.half else [(0.0, "0 %")]
        for count in range(1, floor(self.most + 1e-9) + 1):
            share = 1 - 10.0**-count
            marks.append((share, f"{100 * share:.{max(0, count - 2)}f} %"))
        return marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Time from `low` to `high`, in seconds since the start of the task."""

    low: float
    high: float
    count: int = 8

    def place(self, value: float) -> float:
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        length = self.high - self.low
        step = next((step for step in _TIME_STEPS_S if length / step <= self.count), _TIME_STEPS_S[-1])
        values = [step * i for i in range(ceil(self.low / step), floor(self.high / step + 1e-9) + 1)]
        return [(value, duration(value, step, minutes=self.high >= 300)) for value in values]


def nice_step(least: float) -> float:
    """The next of 1, 2, 2.5, 5, 10 times a power of ten."""
    if least <= 0:
        return 1.0
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


def nice_top(highest: float) -> float:
    """A round end of an axis with a little air above the highest value."""
    if highest <= 0:
        return 1.0
    step = nice_step(highest * 1.06 / 5)
    return step * ceil(highest * 1.06 / step - 1e-9)


def milliseconds(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def duration(value: float, step: float, *, minutes: bool) -> str:
    """30 s; 1:30 on an axis of minutes; 2 h where hours are counted."""
    if step >= 3600:
        return f"{value / 3600:g} h"
    return f"{int(value) // 60}:{int(value) % 60:02d}" if minutes else f"{value:g} s"
