"""Failures by kind over time, dropped arrivals and wrong answers: a plot that is there only if there were any. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ha_stress.report import words
from ha_stress.report.html.chart import WIDE, Chart, corners
from ha_stress.report.html.scales import Linear, nice_top
from ha_stress.report.html.view import Hover, View, hover_of, mark_all
from ha_stress.report.run import Stretch, add_named

#: Kinds with a colour of their own; where there are more, the last colour is that of all the others.
_KINDS_MAX = 6
_OTHERS = "other kinds"


def kinds_of(view: View) -> list[str]:
    totals = add_named(_troubles(one) for one in view.course)
    kinds = [kind for kind, _ in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))]
    return kinds if len(kinds) <= _KINDS_MAX else [*kinds[: _KINDS_MAX - 1], _OTHERS]


def draw(view: View, width: int) -> Chart:
    kinds = kinds_of(view)
    rows = [_by_kind(one, kinds) for one in view.course]
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
    spans = view.spans
    below = [0.0] * len(spans)
    for number, kind in enumerate(kinds):
        above = [low + row[kind] / one.width_s for low, row, one in zip(below, rows, view.course, strict=True)]
        chart.area(corners(spans, above), corners(spans, below), f"area t{number}")
        below = above
    mark_all(chart, view.marks, badges=False)
    return chart


def hover(view: View) -> Hover:
    kinds = kinds_of(view)
    rows = [_by_kind(one, kinds) for one in view.course]
    return hover_of(
        view, ((kind, f"t{number}", [words.number(row[kind]) for row in rows]) for number, kind in enumerate(kinds))
    )


def _by_kind(one: Stretch, kinds: Sequence[str]) -> dict[str, int]:
    """How many there were of each; what is none of them is `_OTHERS`."""
    found = _troubles(one)
    others = sum(count for kind, count in found.items() if kind not in kinds)
    return {kind: others if kind == _OTHERS else found.get(kind, 0) for kind in kinds}


def _troubles(one: Stretch) -> dict[str, int]:
    found = {f"failed: {kind}": count for kind, count in one.named.get("failures", {}).items()}
    found |= {name: one.numbers.get(name, 0) for name in ("dropped", "wrong")}
    return {kind: count for kind, count in found.items() if count}
