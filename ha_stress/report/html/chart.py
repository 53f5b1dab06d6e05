"""One plot as SVG: axes, steps, lines, areas, marks. Colours are classes, so that the page's style decides them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from ha_stress.report.html.scales import Scale

Point = tuple[float, float]

#: Widths in CSS pixels, which are also the units of the drawing: text is then as large as on the rest of the page.
WIDE: Final = 1040
NARROW: Final = 380
#: Diameter of a badge.
BADGE: Final = 17


@dataclass(slots=True, kw_only=True)
class Chart:
    """Draw into it, then take `svg()`. `label` names it for those who do not see it."""

    label: str
    x: Scale
    y: Scale
    width: int
    height: int
    left: int = 62
    right: int = 18
    top: int = 30
    bottom: int = 34
    parts: list[str] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        return self.left + self.x.place(value) * (self.width - self.left - self.right)

    def at_y(self, value: float) -> float:
        return self.height - self.bottom - self.y.place(value) * (self.height - self.top - self.bottom)

    def axes(self) -> None:
        """Lines at the ticks of y, labels at both."""
        base = self.height - self.bottom
        for value, label in self.y.ticks():
            y = self.at_y(value)
            self.parts.append(f'<path class="grid" d="M{self.left} {y:.1f}H{self.width - self.right}"/>')
            self.text(self.left - 8, y + 4, label, "tick", "end")
        for value, label in self.x.ticks():
            x = self.at_x(value)
            self.parts.append(f'<path class="axis" d="M{x:.1f} {base}v5"/>')
            self.text(x, base + 20, label, "tick", "middle")
        self.parts.append(f'<path class="axis" d="M{self.left} {base}H{self.width - self.right}"/>')

    def text(self, x: float, y: float, words: str, kind: str, anchor: str = "start") -> None:
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def line(self, points: Iterable[Point | None], kind: str) -> None:
        """A line through the points; None interrupts it."""
        if path := self.path(points):
            self.parts.append(f'<path class="{kind}" d="{path}"/>')

    def dots(self, points: Iterable[Point], kind: str, radius: float = 2.4) -> None:
        for x, y in points:
            self.parts.append(f'<circle class="{kind}" cx="{self.at_x(x):.1f}" cy="{self.at_y(y):.1f}" r="{radius}"/>')

    def area(self, upper: Sequence[Point], lower: Sequence[Point], kind: str) -> None:
        """What lies between two lines."""
        if upper and lower:
            self.parts.append(f'<path class="{kind}" d="{self.path([*upper, *reversed(lower)])}Z"/>')

    def band(self, begin: float, end: float, kind: str) -> None:
        """A stretch of the x axis, over the whole height; never thinner than a line."""
        x, right = self.at_x(begin), self.at_x(end)
        height = self.height - self.top - self.bottom
        self.parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{self.top}" width="{max(right - x, 1):.1f}" height="{height}"/>'
        )

    def mark(self, value: float, kind: str, badge: str = "", row: int = 0) -> None:
        """A line at a moment, with a badge above it (`row` 0 is the lowest) that a list below the plot explains."""
        x, y = self.at_x(value), self.top - 12 - row * BADGE
        foot = self.height - self.bottom
        begin = y + BADGE / 2 if badge else self.top
        self.parts.append(f'<path class="mark {kind}" d="M{x:.1f} {begin:.1f}V{foot}"/>')
        if badge:
            self.parts.append(f'<circle class="badge {kind}" cx="{x:.1f}" cy="{y}" r="{BADGE / 2 - 0.5}"/>')
            self.text(x, y + 3.8, badge, "badge-text", "middle")

    def path(self, points: Iterable[Point | None]) -> str:
        words, pen_down = [], False
        for point in points:
            if point is None:
                pen_down = False
                continue
            words.append(f"{'L' if pen_down else 'M'}{self.at_x(point[0]):.1f} {self.at_y(point[1]):.1f}")
            pen_down = True
        return "".join(words)

    def svg(self, kind: str) -> str:
        """`kind` is the class by which the page shows the wide or the narrow drawing."""
        foot = self.height - self.bottom
        return (
            f'<svg class="plot {kind}" viewBox="0 0 {self.width} {self.height}" role="img" tabindex="0"'
            f' aria-label="{escape(self.label)}" data-left="{self.left}" data-right="{self.width - self.right}">'
            f"{''.join(self.parts)}"
            f'<path class="cursor" d="M0 {self.top}V{foot}" visibility="hidden"/></svg>'
        )


def corners(spans: Iterable[tuple[float, float]], values: Iterable[float]) -> list[Point]:
    """Of a line that holds each value from the begin of its span to the end."""
    return [
        corner for (begin, end), value in zip(spans, values, strict=True) for corner in ((begin, value), (end, value))
    ]
