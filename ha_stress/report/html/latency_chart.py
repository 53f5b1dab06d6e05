"""Latency over time and its distribution. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import Final

from ha_stress.report import words
from ha_stress.report.html.chart import WIDE, Chart
from ha_stress.report.html.scales import Logarithmic, Nines
from ha_stress.report.html.view import Hover, View, hover_of, mark_all
from ha_stress.report.percentiles import steps
from ha_stress.report.run import Latency, Stretch
from ha_stress.tasks.distribution import Distribution

#: Lines from the fastest to the slowest: (field, label, class).
LINES: Final = (("p50_ms", "p50", "q50"), ("p90_ms", "p90", "q90"), ("p99_ms", "p99", "q99"), ("max_ms", "max", "qmax"))
_NINES_MAX: Final = 7.0


def latency_scale(view: View) -> Logarithmic:
    """One axis for both plots, so that response and service time compare."""
    every = [one for stretch in view.course for one in (stretch.response, stretch.service) if one is not None]
    low = min((one.p50_ms for one in every if one.p50_ms > 0), default=1.0)
    high = max((one.max_ms for one in every), default=10.0)
    return _around(low, high)


def draw(view: View, width: int, which: str) -> Chart:
    """`which` is "response" or "service"."""
    chart = Chart(
        label=f"{which.capitalize()} time over time: median, 90th and 99th percentile and maximum, on a logarithmic scale",
        x=view.seconds(width),
        y=latency_scale(view),
        width=width,
        height=270 if width == WIDE else 230,
        left=62 if width == WIDE else 56,
        right=44,
        top=18,
    )
    chart.axes()
    if view.warm_up_s:
        chart.band(0.0, view.warm_up_s, "warm")
    mark_all(chart, view.marks, badges=False)
    found = [(view.at(one), _of(one, which)) for one in view.course]
    ends: list[tuple[float, str, str]] = []
    for name, label, kind in reversed(LINES):
        points = [None if one is None else ((begin + end) / 2, getattr(one, name)) for (begin, end), one in found]
        chart.line(points, f"line {kind}")
        alone = [points[i] for i in range(len(points)) if _alone(points, i)]
        chart.dots([point for point in alone if point is not None], f"dot {kind}")
        if last := next((point for point in reversed(points) if point is not None), None):
            ends.append((chart.at_y(last[1]) + 4, label, kind))
    for (_, label, kind), y in zip(ends, apart([y for y, _, _ in ends]), strict=True):
        chart.text(chart.width - chart.right + 6, y, label, f"end {kind}")
    return chart


def apart(places: Sequence[float], distance: float = 13.0) -> list[float]:
    """Labels at these heights, downwards, moved so that none covers another; the lowest stays where it is."""
    moved = list(places)
    for index in range(len(moved) - 2, -1, -1):
        moved[index] = min(moved[index], moved[index + 1] - distance)
    return moved


def hover(view: View, which: str) -> Hover:
    found = [_of(one, which) for one in view.course]
    return hover_of(
        view,
        (
            (label, kind, ["-" if one is None else words.ms(getattr(one, name)) for one in found])
            for name, label, kind in reversed(LINES)
        ),
    )


def draw_curve(response: Distribution, service: Distribution, width: int) -> Chart:
    """Value at each percentile; each further nine is as wide as the one before."""
    curves = [list(steps(one)) for one in (response, service)]  # of an empty one nothing is drawn
    values = [step.value_us / 1000 for curve in curves for step in curve]
    chart = Chart(
        label="Latency by percentile, response time beside service time, on logarithmic scales",
        x=Nines(most=nines_of(max(response.total, service.total)), half=width == WIDE),
        y=_around(min((value for value in values if value > 0), default=1.0), max(values, default=10.0)),
        width=width,
        height=330 if width == WIDE else 270,
        left=62 if width == WIDE else 56,
        right=24,
        top=18,
    )
    chart.axes()
    for curve, kind in zip(curves, ("response", "service"), strict=True):
        chart.line([(step.share, step.value_us / 1000) for step in curve], f"line {kind}")
    return chart


def curve_hover(response: Distribution, service: Distribution) -> Hover:
    scale = Nines(most=nines_of(max(response.total, service.total)))
    both = ((("response", "response"), response), (("service", "service"), service))
    shares = [step.share for step in (list(steps(response)) or steps(service))]
    return Hover(
        places=[scale.place(share) for share in shares],
        titles=[_share_label(share) for share in shares],
        names=[name for name, one in both if one.total],
        values=[[words.ms(one.at(100 * share) / 1000) for share in shares] for _, one in both if one.total],
    )


def nines_of(total: int) -> float:
    """How many nines so many values can tell of."""
    return min(max(2.0, log10(max(total, 1))), _NINES_MAX)


def _around(low: float, high: float) -> Logarithmic:
    """An axis with a little air; never less than one decade, or noise would look like an event."""
    low, high = low * 0.8, max(high * 1.25, low * 8)
    power = 10.0 ** floor(log10(low))
    return Logarithmic(low=power * max(n for n in (1, 2, 5) if n * power <= low * 1.001), high=high)


def _of(one: Stretch, which: str) -> Latency | None:
    return one.response if which == "response" else one.service


def _alone(points: Sequence[object], index: int) -> bool:
    """Whether a point has no neighbour to draw a line to."""
    around = points[max(0, index - 1) : index] + points[index + 1 : index + 2]  # type: ignore[operator]
    return points[index] is not None and all(one is None for one in around)


def _share_label(share: float) -> str:
    if share >= 1:
        return "the slowest"
    percent = 100 * share
    digits = max(0, 2 - floor(log10(100 - percent) + 1e-9)) if percent else 0
    return f"{percent:.{min(digits, 6)}f} % were faster"
