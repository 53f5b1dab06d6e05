"""Thresholds while a task runs: which of them is broken by now, and what the worst was so far. Pure.

Frames of a second may come late: windows that end in the newest seconds are looked at again each time, and only once they
are older than LATE_S they are *settled*. A breach has to be seen in two looks in a row before it aborts anything, so that a
second of which half of the frames were still on their way does not end a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ha_stress.tasks.judging import Judgement, Observed, Second, Stretch, passes, windows, worst
from ha_stress.tasks.thresholds import Threshold, Unit, unit_of

#: Frames that come later than this after their second are not seen by thresholds while a task runs.
LATE_S: Final = 3
#: A rate over less than this says nothing.
MEASURED_S_MIN: Final = 2.0


@dataclass(slots=True, kw_only=True)
class Course:
    """The sliding thresholds of one task, over all that is settled. `until` is the last settled label."""

    thresholds: tuple[Threshold, ...]
    until: int
    worst: dict[str, Observed] = field(default_factory=dict)
    seconds: dict[int, Second] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Of the widest window; 0 if there is none."""
        return max((int(threshold.window_s or 0) for threshold in self.thresholds), default=0)

    def wanted(self) -> int:
        """The first label that has to be read (again)."""
        return self.until + 1 if self.seconds else max(0, self.until + 2 - self.width)

    def see(
        self, seconds: Iterable[Second], stretch: Stretch, *, newest: int, final: bool = False
    ) -> dict[str, list[Observed]]:
        """Take in all seconds from `wanted()` on; what each threshold looks like in the windows that were not settled.

        The newest second is left alone, for its frames are only just coming in, unless it is the `final` look.
        """
        self.seconds |= {second.label: second for second in seconds}
        last = newest if final else newest - 1
        recent = {one.text: windows(one, self.seconds, stretch, (self.until + 1, last)) for one in self.thresholds}
        settled = last if final else last - LATE_S
        if settled > self.until:
            for threshold in self.thresholds:
                before = self.worst.get(threshold.text)
                found = worst(threshold, (before, *(one for one in recent[threshold.text] if one.last <= settled)))
                if found is not None:
                    self.worst[threshold.text] = found
            self.until = settled
        for label in [label for label in self.seconds if label + self.width <= self.until]:
            del self.seconds[label]
        return recent


def breaches(
    whole: Sequence[Judgement], recent: Mapping[str, Sequence[Observed]], thresholds: Sequence[Threshold], *,
    started_at: float, measured_s: float, newest: int,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Every threshold that may abort and is broken, by its text, with what to say of it."""
    found: dict[str, dict[str, Any]] = {}
    for judgement in whole:
        threshold = judgement.threshold
        if not threshold.abort or threshold.window_s is not None or judgement.ok is not False:
            continue
        early = unit_of(threshold.metric) is Unit.PER_S and measured_s < MEASURED_S_MIN
        if newest - started_at >= threshold.after_s and not early:
            found[threshold.text] = {"threshold": threshold.text, "observed": judgement.observed}
    for threshold in thresholds:
        if not threshold.abort:
            continue
        for one in recent.get(threshold.text, ()):
            begins_s = one.first - 1 - started_at
            if one.value is not None and not passes(threshold, one.value) and begins_s >= threshold.after_s:
                window = {"from_s": round(begins_s, 3), "to_s": round(one.last - started_at, 3)}
                found[threshold.text] = {"threshold": threshold.text, "observed": one.value} | window
                break
    return found


def course_of(thresholds: Sequence[Threshold], begin: int, stored: Mapping[str, Any]) -> Course:
    """Where a master before this one has left off (`stored`, see `stored_of`), or at the first label that counts."""
    sliding = tuple(threshold for threshold in thresholds if threshold.window_s is not None)
    course = Course(thresholds=sliding, until=int(stored.get("until", begin - 1)))
    for text, (value, first, last) in stored.get("worst", {}).items():
        course.worst[str(text)] = Observed(value=value, first=int(first), last=int(last))
    return course


def stored_of(course: Course) -> dict[str, Any]:
    """The inverse, as JSON."""
    return {
        "until": course.until,
        "worst": {text: [one.value, one.first, one.last] for text, one in course.worst.items()},
    }
