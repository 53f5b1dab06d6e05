"""Sliding thresholds over the course of a run: every window of them, each looked at once it can be. Pure.

Windows of one width are one sum that moves on, a second at a time: what comes in is added, what falls out is taken away.
Frames of a second may come late: windows that end in the newest seconds are looked at again each time, and only once they
are older than LATE_S they are *settled* (what comes even later is found by the number of `frames`, at the end):

    label      ... 101 102 103 104 105 106 107
                             |           |   newest: its frames are only just coming in
                             |           looked at again each time
                             until: settled, only the worst is remembered
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

from ha_stress.tasks.judging import Observed, Second, Stretch, statistic, worst
from ha_stress.tasks.thresholds import COUNTS, Threshold, latency_of

#: Frames that come later than this after their second are not seen by thresholds while a task runs.
LATE_S: Final = 3

_NUMBERS: Final = ("started", "completed", "wrong", "dropped", "late", "retried")


class Window:
    """The sums of the `width` seconds that end with the label `end`; of none at first."""

    def __init__(self, end: int) -> None:
        self.width = 0
        self.end = end
        self._numbers = dict.fromkeys((*_NUMBERS, "failed"), 0)
        self._response: dict[int, int] = {}
        self._service: dict[int, int] = {}

    def copied(self) -> Window:
        other = copy(self)
        other._numbers, other._response, other._service = {**self._numbers}, {**self._response}, {**self._service}
        return other

    def widened(self, width: int, seconds: Mapping[int, Second]) -> Window:
        """Another one with the same end."""
        other = self.copied()
        for label in range(self.end - width + 1, self.end - self.width + 1):
            other._add(seconds.get(label), +1)
        other.width = width
        return other

    def move_on(self, seconds: Mapping[int, Second]) -> None:
        """By one second."""
        self.end += 1
        self._add(seconds.get(self.end), +1)
        self._add(seconds.get(self.end - self.width), -1)

    def figure(self, metric: str) -> float | None:
        """None if nothing happened in it."""
        latency = latency_of(metric)
        if latency is not None:
            return statistic(latency[0], self._service if latency[1] == "service" else self._response)
        numbers = self._numbers
        if metric == "rate":
            return numbers["started"] / self.width
        if metric == "intended":
            return numbers["started"] + numbers["dropped"]
        if metric == "error_rate":
            over = numbers["completed"] + numbers["failed"] + numbers["dropped"]
            return (numbers["failed"] + numbers["wrong"] + numbers["dropped"]) / over if over else None
        return float(numbers[metric])

    def _add(self, second: Second | None, sign: int) -> None:
        if second is None:
            return
        for name in _NUMBERS:
            self._numbers[name] += sign * getattr(second.counters, name)
        self._numbers["failed"] += sign * second.counters.failed_total
        _add(self._response, second.response, sign)
        _add(self._service, second.service, sign)


def _add(counts: dict[int, int], more: Iterable[tuple[int, int]], sign: int) -> None:
    for index, count in more:
        total = counts.get(index, 0) + sign * count
        if total:
            counts[index] = total
        else:
            del counts[index]


@dataclass(slots=True, kw_only=True)
class Course:
    """The sliding thresholds of one task, over all that is settled. `until` is the last settled label, `frames` is how many
    frames of what counts there were up to it."""

    thresholds: tuple[Threshold, ...]
    until: int
    frames: int = 0
    worst: dict[str, Observed] = field(default_factory=dict)
    seconds: dict[int, Second] = field(default_factory=dict)
    _settled: dict[int, Window] = field(default_factory=dict)  # by width, each ends with `until`

    @property
    def width(self) -> int:
        """Of the widest window; 0 if there is none."""
        return max((int(threshold.window_s or 0) for threshold in self.thresholds), default=0)

    def wanted(self) -> int:
        """The first label that has to be read (again)."""
        return self.until + 1 if self._settled else max(0, self.until + 2 - self.width)

    def see(
        self, seconds: Iterable[Second], stretch: Stretch, *, newest: int, final: bool = False
    ) -> dict[str, list[Observed]]:
        """Take in all seconds from `wanted()` on; what each threshold looks like in the windows that were not settled.

        The newest second is left alone, for its frames are only just coming in, unless it is the `final` look.
        """
        self.seconds |= {second.label: second for second in seconds}
        last = newest if final else newest - 1
        settled = max(self.until, last if final else last - LATE_S)
        recent = self._windows(stretch, settled, last)
        for threshold in self.thresholds:
            before = self.worst.get(threshold.text)
            found = worst(threshold, (before, *(one for one in recent[threshold.text] if one.last <= settled)))
            if found is not None:
                self.worst[threshold.text] = found
        self.frames += sum(second.frames for label, second in self.seconds.items() if self.until < label <= settled)
        self.until = settled
        for label in [label for label in self.seconds if label + self.width <= self.until]:
            del self.seconds[label]
        return recent

    def _windows(self, stretch: Stretch, settled: int, last: int) -> dict[str, list[Observed]]:
        """By text, those that end with a label from `until` + 1 to `last`; the sums up to `settled` are kept."""
        found: dict[str, list[Observed]] = {one.text: [] for one in self.thresholds}
        if last > self.until and not self._settled:
            window = Window(self.until)
            for width in sorted({int(one.window_s or 0) for one in self.thresholds}):
                self._settled[width] = window = window.widened(width, self.seconds)
        for width, window in self._settled.items():
            while window.end < last:
                if window.end == settled:
                    window = window.copied()  # what follows may still change
                window.move_on(self.seconds)
                for one in self.thresholds:
                    if one.window_s == width and _counts(one, window, stretch):
                        first = window.end - width + 1
                        found[one.text].append(Observed(value=window.figure(one.metric), first=first, last=window.end))
        return found


def _counts(threshold: Threshold, window: Window, stretch: Stretch) -> bool:
    """Whether all of the window is behind the warm-up; of a rate, and of a count that must not be small, also inside of the
    schedule: a second in which the load began or ended has less of it."""
    least = threshold.floor and threshold.metric in COUNTS
    begin, last = stretch.full if least or threshold.metric == "rate" else (stretch.begin, None)
    return window.end - window.width + 1 >= begin and (last is None or window.end <= last)


def course_of(thresholds: Sequence[Threshold], begin: int, stored: Mapping[str, Any]) -> Course:
    """Where a master before this one has left off (`stored`, see `stored_of`), or at the first label that counts."""
    sliding = {threshold.text: threshold for threshold in thresholds if threshold.window_s is not None}
    return Course(
        thresholds=tuple(sliding.values()),
        until=int(stored.get("until", begin - 1)),
        frames=int(stored.get("frames", 0)),
        worst=worst_of(stored),
    )


def stored_of(course: Course) -> dict[str, Any]:
    """The inverse, as JSON."""
    return {
        "until": course.until,
        "frames": course.frames,
        "worst": {text: [one.value, one.first, one.last] for text, one in course.worst.items()},
    }


def worst_of(stored: Mapping[str, Any]) -> dict[str, Observed]:
    """The worst window of each threshold, by its text."""
    found = stored.get("worst", {}).items()
    return {text: Observed(value=value, first=int(first), last=int(last)) for text, (value, first, last) in found}
