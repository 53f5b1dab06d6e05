"""Draws the phases of a failover, ours beside Valkey Sentinel's: `python -m bench.plot_failover FILE.json OUT.png`.

Three panels: kill -9 on a linear scale of seconds, where ours is a sliver; that sliver magnified; SIGSTOP on the same scale
as the first. A linear scale throughout, because the lengths of the pieces are what is compared.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, Patch

from bench.failover_figures import OURS, VALKEY, Cause
from bench.plot_phases import FOOTNOTE, NAMES, PIECES, Bar, bars, heading, labels, subtitle, title

#: Of the palette of Okabe and Ito, which people who confuse colours tell apart; in print they differ by lightness too.
COLOURS: Final = {"detect_ms": "#9A9A9A", "act_ms": "#0072B2", "announce_ms": "#E69F00"}
INSIDE: Final = {"detect_ms": "black", "act_ms": "white", "announce_ms": "black"}
INK: Final = "#1A1A1A"
FAINT: Final = "#5A5A5A"
SIZE_INCHES: Final = (12.0, 9.0)
DPI: Final = 150
BAR: Final = 0.36
PLACE: Final = {OURS: 1.0, VALKEY: 0.0}
#: Of the width of a panel: what a letter inside a bar takes.
LETTER: Final = 0.0083


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write the picture to `path`. OSError if that cannot be done."""
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "xtick.color": FAINT}):
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)  # draws into files, needs no display
        kill, zoom, stop = figure.subplots(3, 1, gridspec_kw={"height_ratios": [2, 1.05, 2], "hspace": 0.55})
        figure.subplots_adjust(left=0.115, right=0.975, top=0.83, bottom=0.085)
        figure.text(0.02, 0.962, title(report), fontsize=15, weight="bold")
        figure.text(0.02, 0.931, subtitle(report), fontsize=9.5, color=FAINT)
        figure.text(0.02, 0.012, FOOTNOTE, fontsize=8.8, color=FAINT, linespacing=1.45)
        _legend(figure)
        killed, stopped = bars(report, Cause.KILL), bars(report, Cause.STOP)
        end_ms = 1.1 * max(bar.worst_ms for bar in (*killed, *stopped))
        for axes, cause, both in ((kill, Cause.KILL, killed), (stop, Cause.STOP, stopped)):
            _frame(axes, heading(report, cause), end_ms)
            axes.set_yticks(list(PLACE.values()), [NAMES[name] for name in PLACE], fontsize=11)
            axes.set_ylim(-0.62, 1.52)
            _line_at(axes, float(report["conditions"]["down_after_ms"]))
            for bar in both:
                _bar(
                    axes, bar, PLACE[bar.system], end_ms, dots=bar is not killed[0]
                )  # those are in the magnified panel
        _magnify(figure, kill, zoom, killed[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def _legend(figure: Figure) -> None:
    handles: list[Patch | Line2D] = [Patch(color=COLOURS[mark], label=f"until {name}") for mark, name in PIECES.items()]
    dot = Line2D([], [], marker="o", linestyle="", color=FAINT, markersize=5, label="one round (colour: which mark)")
    figure.legend(
        handles=[*handles, dot], loc="upper left", bbox_to_anchor=(0.012, 0.923), ncols=4, frameon=False, fontsize=10
    )


def _frame(axes: Axes, text: str, end_ms: float) -> None:
    axes.set_title(text, loc="left", fontsize=11.5, weight="bold", pad=8)
    axes.set_xlim(0, end_ms)
    axes.xaxis.set_major_formatter(lambda ms, _: f"{ms:,.0f}" + (" ms" if ms == 0 else ""))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _line_at(axes: Axes, down_after_ms: float) -> None:
    axes.axvline(down_after_ms, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.text(down_after_ms, 1.5, " down_after", fontsize=9, color=FAINT, ha="left", va="top")


def _bar(axes: Axes, bar: Bar, y: float, end_ms: float, *, dots: bool = True) -> None:
    for piece in bar.pieces:
        colour, width_ms = COLOURS[piece.mark], piece.end_ms - piece.begin_ms
        axes.barh(
            y, width_ms, left=piece.begin_ms, height=BAR, color=colour, edgecolor="white", linewidth=0.8, zorder=2
        )
        name = PIECES[piece.mark]
        if width_ms > LETTER * len(name) * end_ms:
            middle = piece.begin_ms + width_ms / 2
            axes.text(middle, y, name, color=INSIDE[piece.mark], ha="center", va="center", fontsize=9.5, zorder=3)
        if dots:
            # In three rows, so that rounds that took equally long are seen as several.
            rows = [y - 0.28 - 0.07 * (number % 3) for number in range(len(piece.rounds_ms))]
            edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.5}
            axes.plot(piece.rounds_ms, rows, "o", color=colour, markersize=4.8, zorder=4, **edge)
    *inner, last = labels(bar, apart_ms=0.045 * end_ms)
    for at_ms, text in inner:
        axes.text(at_ms, y + BAR / 2 + 0.03, text, ha="center", va="bottom", fontsize=10.5, weight="bold")
    gap_ms = 0.008 * end_ms
    veil = {
        "facecolor": axes.get_facecolor(),
        "edgecolor": "none",
        "pad": 1.2,
        "alpha": 0.8,
    }  # over the lines of the grid
    axes.text(last[0] + gap_ms, y, f"{last[1]} ms", ha="left", va="center", fontsize=10.5, weight="bold", bbox=veil)
    at_ms, height = (bar.worst_ms, y - 0.35) if dots else (last[0], y - 0.3)
    axes.text(at_ms + gap_ms, height, f"worst {bar.worst_ms:,.0f}", color=FAINT, fontsize=9, va="center")


def _magnify(figure: Figure, whole: Axes, zoom: Axes, ours: Bar) -> None:
    """The first moments of the upper panel, wide enough to be read."""
    end_ms = 1.12 * ours.worst_ms
    _frame(zoom, f"the first {end_ms:.0f} ms of it, magnified", end_ms)
    zoom.set_yticks([1.0], [NAMES[OURS]], fontsize=11)
    zoom.set_ylim(0.42, 1.5)
    zoom.set_facecolor("#EDF1F5")
    _bar(zoom, ours, 1.0, end_ms)
    whole.axvspan(0, end_ms, color="#EDF1F5", zorder=0)
    for x_ms in (0.0, end_ms):
        line = ConnectionPatch(
            xyA=(x_ms, whole.get_ylim()[0]),
            coordsA=whole.transData,
            xyB=(x_ms, zoom.get_ylim()[1]),
            coordsB=zoom.transData,
            color="#B0B8C0",
            linewidth=0.9,
        )
        figure.add_artist(line)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.plot_failover", description="Draw a report of bench.failover."
    )
    parser.add_argument("report", type=Path, help="what `python -m bench.failover --json` printed")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    options = parser.parse_args()
    draw(json.loads(options.report.read_text()), options.picture)


if __name__ == "__main__":
    main()
