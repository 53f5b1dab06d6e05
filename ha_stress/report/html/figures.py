"""The plots of the page, each with its title, its legend and what it tells under the pointer. Pure."""

from __future__ import annotations

import json
from html import escape
from typing import Final

from ha_stress.report import words
from ha_stress.report.html import latency_chart, rate_chart, trouble_chart
from ha_stress.report.html.tables import key, section
from ha_stress.report.html.view import Hover, View, both, letter
from ha_stress.report.run import distributions_of
from ha_stress.report.story import recoveries
from ha_stress.tasks.distribution import EMPTY

_NOTES: Final = {
    "response": "from the moment at which the request was due: what a user waits",
    "service": "from the moment at which it was sent: what the server takes",
}
#: Users send when they are ready: there is no schedule that a request could be late for.
_CLOSED: Final = {"response": "from the moment at which the request was sent"}


def figure(title: str, note: str, drawing: str, hover: Hover, legend: str = "") -> str:
    data = json.dumps(hover.plain(), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    keys = f'<ul class="legend">{legend}</ul>' if legend else ""
    return (
        f'<figure><figcaption><b>{escape(title)}</b> <span>{escape(note)}</span></figcaption>{keys}<div class="drawing">'
        f'{drawing}<script type="application/json">{data}</script></div></figure>'
    )


def rate_section(view: View) -> str:
    if not view.course:
        return section("Rate", "<p>No request was reported.</p>", name="rate")
    names = [name for name, _ in rate_chart.layers(view)]
    legend = "".join(key(f"area c{number}", name) for number, name in enumerate(names))
    if any(value is not None for value in view.wanted):
        legend += key("target", "target")
    if rate_chart.missing(view):
        legend += key("missing", "below the target")
    if view.warm_up_s:
        legend += key("warm", "warm-up: in the books, but not in the statistics")
    plot = figure(
        "Requests sent per second",
        "by worker, on top of each other",
        both(lambda width: rate_chart.draw(view, width)),
        rate_chart.hover(view),
        legend,
    )
    return section("Rate over time", plot, _marks(view), _recoveries(view), _trouble(view), name="rate")


def latency_section(view: View) -> str:
    if not any(one.response for one in view.course):
        return section("Latency", "<p>No response was measured.</p>", name="latency")
    closed = bool(view.run.task.get("users"))
    plots = [_latency(view, which, note) for which, note in (_CLOSED if closed else _NOTES).items()]
    response, service = distributions_of(view.course)
    keys = key("line response", "response time") + key("line service", "service time")
    curve = figure(
        "Latency by percentile",
        "the further right, the rarer: each further nine is as wide as the one before",
        both(lambda width: latency_chart.draw_curve(response, EMPTY if closed else service, width)),
        latency_chart.curve_hover(response, EMPTY if closed else service),
        "" if closed else keys,
    )
    gap = ""
    if not closed and response.total and response.at(99) > 2 * max(service.at(99), 1):
        gap = (
            "<p>The two differ: requests waited before they could be sent. A tool that measures from the send alone would "
            f"have shown a 99th percentile of {escape(words.ms(service.at(99) / 1000))} instead of "
            f"{escape(words.ms(response.at(99) / 1000))}.</p>"
        )
    return section("Latency", *plots, curve, gap, name="latency")


def _latency(view: View, which: str, note: str) -> str:
    return figure(
        f"{which.capitalize()} time",
        note,
        both(lambda width: latency_chart.draw(view, width, which)),
        latency_chart.hover(view, which),
    )


def _marks(view: View) -> str:
    if not view.marks:
        return ""
    items = "".join(
        f'<li><b class="badge {mark.kind.value}">{letter(number)}</b> <span class="at">{mark.at_s:,.2f} s</span> '
        f"<span><b>{escape(mark.title)}</b> {escape(mark.detail)}</span></li>"
        for number, mark in enumerate(view.marks)
    )
    return f'<ol class="marks">{items}</ol>'


def _recoveries(view: View) -> str:
    found = recoveries(view.run, view.course)
    if not found:
        return ""
    note = (
        "What a killed process had sent since its last report is lost with it, and counts as uncovered: up to a second."
    )
    said = "".join(f'<p class="recovery">{escape(one.sentence)}</p>' for one in found)
    return f'{said}<p class="small">{note}</p>'


def _trouble(view: View) -> str:
    kinds = trouble_chart.kinds_of(view)
    if not kinds:
        return ""
    return figure(
        "What went wrong per second",
        "requests that failed, were dropped, or whose answer was not as it should be",
        both(lambda width: trouble_chart.draw(view, width)),
        trouble_chart.hover(view),
        "".join(key(f"area t{number}", kind) for number, kind in enumerate(kinds)),
    )
