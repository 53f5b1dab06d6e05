"""Requests per second over time: what each worker sent, stacked, against what was wanted. Pure."""

from __future__ import annotations

from ha_stress.report import words
from ha_stress.report.html.chart import BADGE, WIDE, Chart, Point, steps
from ha_stress.report.html.scales import Linear, nice_top
from ha_stress.report.html.view import COLOURS, Hover, View, mark_all, rows_needed
from ha_stress.report.story import BACK

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
    spans = [view.at(one) for one in view.course]
    below = [0.0] * len(spans)
    for number, (_, rates) in enumerate(layers(view)):
        above = [low + more for low, more in zip(below, rates, strict=True)]
        chart.area(_corners(spans, above), _corners(spans, below), f"area c{number}")
        below = above
    for begin, end, low, high in _missing(spans, achieved, wanted):
        chart.area([(begin, high), (end, high)], [(begin, low), (end, low)], "missing")
    chart.line(_corners(spans, achieved), "sum")
    chart.line(_target_line(spans, wanted), "target")
    mark_all(chart, view.marks, badges=True)
    return chart


def hover(view: View) -> Hover:
    scale = view.seconds(WIDE)
    spans = [view.at(one) for one in view.course]
    found = Hover(
        places=[scale.place((begin + end) / 2) for begin, end in spans],
        titles=[f"{begin:.1f} to {end:.1f} s" for begin, end in spans],
    )

    def add(name: str, kind: str, values: list[str]) -> None:
        found.names.append((name, kind))
        found.values.append(values)

    wanted = targets(view)
    if any(value is not None for value in wanted):
        add("target", "target", [words.rate(value) for value in wanted])
    add("sent", "sum", [words.rate(value) for value in sums(view)])
    for number, (name, rates) in enumerate(layers(view)):
        add(name, f"c{number}", [words.rate(value) for value in rates])
    for name in ("failed", "dropped", "wrong"):
        if any(one.numbers.get(name) for one in view.course):
            add(name, "bad", [words.number(one.numbers.get(name, 0)) for one in view.course])
    return found


def _corners(spans: list[tuple[float, float]], values: list[float]) -> list[Point]:
    return steps((begin, end, value) for (begin, end), value in zip(spans, values, strict=True))


def _target_line(spans: list[tuple[float, float]], wanted: list[float | None]) -> list[Point | None]:
    points: list[Point | None] = []
    for (begin, end), value in zip(spans, wanted, strict=True):
        points += [None] if value is None else [(begin, value), (end, value)]
    return points


def _missing(
    spans: list[tuple[float, float]], achieved: list[float], wanted: list[float | None]
) -> list[tuple[float, float, float, float]]:
    """Where less was sent than was wanted: (begin, end, sent, wanted)."""
    return [
        (begin, end, sent, target)
        for (begin, end), sent, target in zip(spans, achieved, wanted, strict=True)
        if target and sent < BACK * target
    ]
