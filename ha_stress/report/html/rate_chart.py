"""Requests per second over time: what each worker sent, stacked, against what was wanted. Pure."""

from __future__ import annotations

from ha_stress.report import words
from ha_stress.report.html.chart import BADGE, WIDE, Chart, Point, corners
from ha_stress.report.html.scales import Linear, nice_top
from ha_stress.report.html.view import COLOURS, Hover, View, hover_of, mark_all, rows_needed
from ha_stress.report.story import is_short

OTHERS = "other workers"


def layers(view: View) -> list[tuple[str, list[float]]]:
    """Each worker's rate in each stretch, bottom first; beyond the number of colours the smallest are one layer."""
    totals = {node: sum(one.workers.get(node, 0) for one in view.course) for node in view.workers}
    named = list(view.workers)
    if len(named) > COLOURS:
        named = sorted(sorted(named, key=lambda node: -totals[node])[: COLOURS - 1])
    rates = [
        (node, [one.workers.get(node, 0) / length for one, length in zip(view.course, view.covered, strict=True)])
        for node in named
    ]
    if len(named) < len(view.workers):
        rest = [node for node in view.workers if node not in named]
        summed = [
            sum(one.workers.get(node, 0) for node in rest) / length
            for one, length in zip(view.course, view.covered, strict=True)
        ]
        rates.append((OTHERS, summed))
    return rates


def targets(view: View) -> list[float | None]:
    return [
        None if wanted is None else wanted / length for wanted, length in zip(view.wanted, view.covered, strict=True)
    ]


def sums(view: View) -> list[float]:
    return [one.numbers["started"] / length for one, length in zip(view.course, view.covered, strict=True)]


def draw(view: View, width: int) -> Chart:
    achieved, wanted = sums(view), targets(view)
    highest = max([*achieved, *(value for value in wanted if value is not None)], default=1.0)
    chart = Chart(
        label="Requests per second over time, stacked by worker, with the target",
        x=view.seconds(width),
        y=Linear(high=nice_top(highest)),
        width=width,
        height=330 if width == WIDE else 270,
        left=62 if width == WIDE else 56,
        right=44,
    )
    chart.top = 22 + BADGE * (rows_needed(view, chart) if view.marks else 0)
    chart.axes()
    if view.warm_up_s:
        chart.band(0.0, view.warm_up_s, "warm")
    spans = view.spans
    below = [0.0] * len(spans)
    for number, (_, rates) in enumerate(layers(view)):
        above = [low + more for low, more in zip(below, rates, strict=True)]
        chart.area(corners(spans, above), corners(spans, below), f"area c{number}")
        below = above
    for begin, end, low, high in missing(view):
        chart.area([(begin, high), (end, high)], [(begin, low), (end, low)], "missing")
    chart.line(corners(spans, achieved), "sum")
    chart.line(_target_line(spans, wanted), "target")
    mark_all(chart, view.marks, badges=True)
    return chart


def hover(view: View) -> Hover:
    wanted = targets(view)
    told = [("sent", "sum", [words.rate(value) for value in sums(view)])]
    if any(value is not None for value in wanted):
        told.insert(0, ("target", "target", [words.rate(value) for value in wanted]))
    told += [
        (name, f"c{number}", [words.rate(value) for value in rates])
        for number, (name, rates) in enumerate(layers(view))
    ]
    told += [
        (name, "bad", [words.number(one.numbers.get(name, 0)) for one in view.course])
        for name in ("failed", "dropped", "wrong")
        if any(one.numbers.get(name) for one in view.course)
    ]
    return hover_of(view, told)


def _target_line(spans: list[tuple[float, float]], wanted: list[float | None]) -> list[Point | None]:
    points: list[Point | None] = []
    for (begin, end), value in zip(spans, wanted, strict=True):
        points += [None] if value is None else [(begin, value), (end, value)]
    return points


def missing(view: View) -> list[tuple[float, float, float, float]]:
    """Where clearly less was sent than was wanted: (begin, end, sent, wanted), per second."""
    return [
        (begin, end, sent, target)
        for (begin, end), one, wanted, sent, target in zip(
            view.spans, view.course, view.wanted, sums(view), targets(view), strict=True
        )
        if wanted and target and is_short(view.run.task, wanted, one.numbers["started"])
    ]
