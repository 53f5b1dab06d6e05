"""What all plots of a page share: the course of the run on its time axis, and the marks on it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ha_stress.report.html.chart import BADGE, NARROW, WIDE, Chart
from ha_stress.report.html.scales import Seconds
from ha_stress.report.run import Run, Stretch
from ha_stress.report.story import Mark, marks_of
from ha_stress.report.target import arrivals_wanted, scheduled_s

#: As many points as a plot has room for.
POINTS: Final = 600
#: Workers with a colour of their own; the rest is summed up.
COLOURS: Final = 8
#: Badges above each other; further ones at the same place have a line only.
ROWS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """`course` has no holes. `begin_s` and `end_s` bound the time axis, in seconds from the start of the task."""

    run: Run
    course: tuple[Stretch, ...]
    marks: tuple[Mark, ...]
    begin_s: float
    end_s: float
    workers: tuple[str, ...] = ()
    wanted: tuple[float | None, ...] = ()
    covered: tuple[float, ...] = ()

    @property
    def warm_up_s(self) -> float:
        return min(float(self.run.task.get("warm_up_s") or 0.0), self.end_s)

    def at(self, one: Stretch) -> tuple[float, float]:
        """Where a stretch begins and ends on the axis."""
        begin = one.second - self.run.began_at
        return max(begin, self.begin_s), min(begin + one.width_s, self.end_s)

    @property
    def spans(self) -> list[tuple[float, float]]:
        """Where each stretch of the course begins and ends on the axis."""
        return [self.at(one) for one in self.course]

    def seconds(self, width: int) -> Seconds:
        return Seconds(low=self.begin_s, high=self.end_s, count=10 if width == WIDE else 5)


def view_of(run: Run) -> View:
    course = run.course(POINTS)
    began = run.began_at
    last = course[-1].second + course[-1].width_s - began if course else 1.0
    due_s = scheduled_s(run.task)
    end_s = max(1.0, last if due_s is None else max(due_s, _last_started(course, began, due_s)))
    return View(
        run=run,
        course=course,
        marks=tuple(mark for mark in marks_of(run) if 0 <= mark.at_s <= end_s),
        begin_s=0.0,
        end_s=end_s,
        workers=tuple(sorted({node for one in course for node in one.workers})),
        wanted=tuple(arrivals_wanted(run.task, one.second, one.second + one.width_s) for one in course),
        covered=tuple(_covered(one, began, due_s) for one in course),
    )


def _last_started(course: Sequence[Stretch], began: float, due_s: float) -> float:
    """The end of the last stretch in which something was sent, if that is clearly after the schedule's end."""
    ends = [one.second + one.width_s - began for one in course if one.numbers["started"]]
    last = max(ends, default=0.0)
    return last if course and last > due_s + course[0].width_s else 0.0


def _covered(one: Stretch, began: float, due_s: float | None) -> float:
    """Seconds of a stretch in which arrivals were due: its rate is per second of those."""
    begin, end = one.second - began, one.second - began + one.width_s
    inside = min(end, end if due_s is None else due_s) - max(begin, 0.0)
    return inside if inside > 0.02 else float(one.width_s)


def rows_of(places: Sequence[float]) -> list[int]:
    """In which row each badge fits beside its neighbours; -1 where there is no room any more."""
    ends = [float("-inf")] * ROWS
    rows = []
    for place in places:
        row = next((row for row, end in enumerate(ends) if place - end >= BADGE + 1), -1)
        rows.append(row)
        if row >= 0:
            ends[row] = place
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Hover:
    """What a plot tells under the pointer: for each place (0 to 1 along the x axis) a title and values by name."""

    places: list[float]
    titles: list[str]
    names: list[tuple[str, str]]  # (label, class of its colour)
    values: list[list[str]]  # one list for each name

    def plain(self) -> dict[str, Any]:
        return {
            "at": [round(p, 4) for p in self.places],
            "titles": self.titles,
            "names": self.names,
            "values": self.values,
        }


def hover_of(view: View, told: Iterable[tuple[str, str, list[str]]]) -> Hover:
    """Of a plot over the time of the run: (label, class of its colour, a value for each stretch)."""
    scale, spans, found = view.seconds(WIDE), view.spans, list(told)
    return Hover(
        places=[scale.place((begin + end) / 2) for begin, end in spans],
        titles=[f"{begin:.1f} to {end:.1f} s" for begin, end in spans],
        names=[(label, kind) for label, kind, _ in found],
        values=[values for _, _, values in found],
    )


def both(draw: Callable[[int], Chart]) -> str:
    """The wide and the narrow drawing; the page shows the one that fits."""
    return draw(WIDE).svg("wide") + draw(NARROW).svg("narrow")


def mark_all(chart: Chart, marks: Sequence[Mark], *, badges: bool) -> None:
    """The marks as lines, with their badges if asked for: the letters of the list below the first plot."""
    rows = rows_of([chart.at_x(mark.at_s) for mark in marks])
    for number, (mark, row) in enumerate(zip(marks, rows, strict=True)):
        chart.mark(mark.at_s, mark.kind.value, letter(number) if badges and row >= 0 else "", max(row, 0))


def rows_needed(view: View, chart: Chart) -> int:
    return max(rows_of([chart.at_x(mark.at_s) for mark in view.marks]), default=0) + 1


def letter(number: int) -> str:
    """A, B, ... Z, then AA and so on."""
    return chr(65 + number) if number < 26 else chr(64 + number // 26) + chr(65 + number % 26)
