"""Failures by kind over time, dropped arrivals and wrong answers: a plot that is there only if there were any. Pure."""

from __future__ import annotations

from ha_stress.report import words
from ha_stress.report.html.chart import WIDE, Chart, steps
from ha_stress.report.html.scales import Linear, nice_top
from ha_stress.report.html.view import Hover, View, mark_all
from ha_stress.report.run import Stretch

#: Kinds with a colour of their own.
_KINDS_MAX = 6


def kinds_of(view: View) -> list[str]:
    totals: dict[str, int] = {}
    for one in view.course:
        for kind, count in _troubles(one).items():
            totals[kind] = totals.get(kind, 0) + count
    return [kind for kind, _ in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))][:_KINDS_MAX]


def draw(view: View, width: int) -> Chart:
    rows = [_troubles(one) for one in view.course]
    highest = max((sum(row.values()) / one.width_s for row, one in zip(rows, view.course, strict=True)), default=1.0)
    chart = Chart(
        label="Failed and dropped requests and wrong answers per second over time",
        x=view.seconds(width),
        y=Linear(high=nice_top(highest), count=4),
        width=width,
        height=210,
        left=62 if width == WIDE else 56,
        right=44,
        top=22,
    )
    chart.axes()
    spans = [view.at(one) for one in view.course]
    below = [0.0] * len(spans)
    for number, kind in enumerate(kinds_of(view)):
        above = [low + row.get(kind, 0) / one.width_s for low, row, one in zip(below, rows, view.course, strict=True)]
        corners = [
            steps((begin, end, value) for (begin, end), value in zip(spans, line, strict=True))
            for line in (above, below)
        ]
        chart.area(corners[0], corners[1], f"area t{number}")
        below = above
    mark_all(chart, view.marks, badges=False)
    return chart


def hover(view: View) -> Hover:
    scale = view.seconds(WIDE)
    spans = [view.at(one) for one in view.course]
    kinds = kinds_of(view)
    return Hover(
        places=[scale.place((begin + end) / 2) for begin, end in spans],
        titles=[f"{begin:.1f} to {end:.1f} s" for begin, end in spans],
        names=[(kind, f"t{number}") for number, kind in enumerate(kinds)],
        values=[[words.number(_troubles(one).get(kind, 0)) for one in view.course] for kind in kinds],
    )


def _troubles(one: Stretch) -> dict[str, int]:
    found = {f"failed: {kind}": count for kind, count in one.named.get("failures", {}).items()}
    found |= {name: one.numbers.get(name, 0) for name in ("dropped", "wrong")}
    return {kind: count for kind, count in found.items() if count}
