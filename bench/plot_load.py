"""Draws the comparison of load generators: `python -m bench.plot_load FILE.json OUT.png`.

Three panels: requests/s of one core in the closed model; response times and what was kept of each rate in the open one; what
each generator's 99th percentile says of a server that stood still for a second.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.load_tools import OURS, SOCKET

NAMES: Final = {OURS: "HA Stress", SOCKET: "bare socket", "locust": "Locust"}
#: Of the palette of Okabe and Ito, which people who confuse colours tell apart; each line has a marker of its own as well.
COLOURS: Final = {
    OURS: "#0072B2",
    "wrk": "#5A5A5A",
    "wrk2": "#999999",
    "hey": "#E69F00",
    "k6": "#CC79A7",
    "locust": "#009E73",
    SOCKET: "#D55E00",
}
MARKERS: Final = {OURS: "o", "wrk2": "v", "hey": "s", "k6": "D", SOCKET: "*"}
INK: Final = "#1A1A1A"
FAINT: Final = "#5A5A5A"
SIZE_INCHES: Final = (12.0, 10.4)
DPI: Final = 150
#: Behind text that crosses lines.
VEIL: Final = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}
#: Less of a rate than this is written beside the point.
KEPT: Final = 0.99


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write the picture to `path`. OSError if that cannot be done."""
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "xtick.color": FAINT}):
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)  # draws into files, needs no display
        grid = figure.add_gridspec(2, 2, height_ratios=[1, 1.55], width_ratios=[1.25, 1], hspace=0.3, wspace=0.24)
        figure.subplots_adjust(left=0.085, right=0.965, top=0.855, bottom=0.095)
        figure.text(0.02, 0.962, _title(report), fontsize=15, weight="bold")
        figure.text(0.02, 0.934, _subtitle(report), fontsize=9.5, color=FAINT)
        figure.text(0.02, 0.014, FOOTNOTE, fontsize=8.8, color=FAINT, linespacing=1.45)
        _closed(figure.add_subplot(grid[0, :]), report["closed"])
        _open(figure.add_subplot(grid[1, 0]), report["open"])
        _freeze(figure.add_subplot(grid[1, 1]), report["freeze"])
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


FOOTNOTE: Final = (
    "Rates: as the server counted. Processor time: the kernel's. Latencies: as each generator reports them."
    " Medians of the rounds."
    "\nThe bare socket sends one request at a time on the schedule and does nothing else: no parser, no check, no books."
)


def _title(report: Mapping[str, Any]) -> str:
    best = [f"{ratio:.1f} x {NAMES.get(tool, tool)}" for tool, ratio in report["ratios"].items() if ratio is not None]
    return "Load from one core" + (": HA Stress sends " + ", ".join(best) if best else "")


def _subtitle(report: Mapping[str, Any]) -> str:
    found = report["conditions"]
    shared = "sharing the only core with it" if found["shared_core"] else "each generator pinned to another core"
    return (
        f"nginx with one worker on a core of its own, 65-byte body, keep-alive; {shared}; "
        f"{found['rounds']} x {found['seconds']:g} s, in turns; HA Stress and k6 check each answer"
    )


def _frame(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11.5, weight="bold", pad=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)


def _closed(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    _frame(axes, "Closed: 64 connections, as fast as they go (requests/s, and processor time of one)")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,.0f}")
    most = max((row["rps"] for row in rows), default=1)
    axes.set_xlim(0, 1.2 * most)
    axes.set_yticks(range(len(rows)), [NAMES.get(row["tool"], row["tool"]) for row in rows], fontsize=11)
    axes.invert_yaxis()
    for place, row in enumerate(rows):
        axes.barh(place, row["rps"], height=0.62, color=COLOURS[row["tool"]], zorder=2)
        text = f"{row['rps']:,}"
        axes.text(row["rps"] + 0.008 * most, place - 0.02, text, va="center", fontsize=10.5, weight="bold")
        beside = row["rps"] + (0.03 + 0.0125 * len(text)) * most
        axes.text(beside, place, f"{row['cpu_us_per_request']:.1f} us", va="center", fontsize=9, color=FAINT)


def _open(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    _frame(axes, "Open: response time at a given rate (line: median, dashed: p99)")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(color="#E4E4E4", linewidth=0.8)
    axes.set_xlabel("asked for, requests/s", color=FAINT)
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,.0f}")
    axes.yaxis.set_major_formatter(
        lambda us, _: f"{us / 1e6:g} s" if us >= 1e6 else f"{us / 1e3:g} ms" if us >= 1e3 else f"{us:g} us"
    )
    axes.minorticks_off()
    for tool in dict.fromkeys(row["tool"] for row in rows):
        mine = [row for row in rows if row["tool"] == tool]
        rates = [row["rate"] for row in mine]
        look: dict[str, Any] = {"color": COLOURS[tool], "marker": MARKERS.get(tool, "o"), "markeredgecolor": "white"}
        size = 13 if tool == SOCKET else 8
        label = NAMES.get(tool, tool)
        axes.plot(rates, [row["p50_us"] for row in mine], linewidth=2.2, markersize=size, label=label, zorder=4, **look)
        axes.plot(
            rates,
            [row["p99_us"] for row in mine],
            linewidth=1.3,
            markersize=0.7 * size,
            linestyle=(0, (4, 2)),
            alpha=0.75,
            **look,
        )
        for row in mine:
            if row["achieved"] < KEPT * row["rate"]:
                kept = f"kept {100 * row['achieved'] / row['rate']:.0f} %"
                axes.annotate(
                    kept,
                    (row["rate"], row["p50_us"]),
                    (7, -11),
                    textcoords="offset points",
                    fontsize=8.5,
                    bbox=VEIL,
                    color=COLOURS[tool],
                )
    rates = sorted({row["rate"] for row in rows})
    if rates:
        axes.set_xticks(rates)
        axes.set_xlim(rates[0] / 1.4, rates[-1] * 2.4)
        axes.legend(loc="upper left", frameon=False, fontsize=9.5)


def _freeze(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    _frame(axes, "The server stands still for 1 s: reported p99")
    axes.set_xscale("log")
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda us, _: f"{us / 1e6:g} s" if us >= 1e6 else f"{us / 1e3:g} ms")
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [NAMES.get(row["tool"], row["tool"]) for row in rows], fontsize=11)
    axes.set_ylim(len(rows) - 0.4, -0.9)
    if not rows:
        return
    least = min(row["p99_us"] for row in rows)
    axes.set_xlim(max(least / 4, 10), 1.2e7)
    truth = rows[0]["expected_p99_us"]
    axes.axvline(truth, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.text(truth, -0.62, f"true: {truth / 1e3:,.0f} ms ", fontsize=9, color=FAINT, ha="right", va="center")
    for place, row in enumerate(rows):
        colour = COLOURS[row["tool"]]
        axes.plot(
            [axes.get_xlim()[0], row["p99_us"]], [place, place], color=colour, linewidth=3.5, solid_capstyle="butt"
        )
        axes.plot(row["p99_us"], place, "o", color=colour, markersize=9, markeredgecolor="white", zorder=3)
        said = f"{row['p99_us'] / 1e3:,.1f} ms" if row["p99_us"] < 1e5 else f"{row['p99_us'] / 1e3:,.0f} ms"
        verdict = "shows it" if row["shows"] else "hides it"
        axes.annotate(
            f"{said}\n{verdict}",
            (row["p99_us"], place),
            (9, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            linespacing=1.3,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plot_load", description="Draw a report of bench.load.")
    parser.add_argument("report", type=Path, help="what `python -m bench.load --json` printed")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    options = parser.parse_args()
    draw(json.loads(options.report.read_text()), options.picture)


if __name__ == "__main__":
    main()
