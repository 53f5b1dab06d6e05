"""Curves of one line of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

_STEPS: Final = "▁▂▃▄▅▆▇█"


def bars(values: Sequence[float | None], *, top: float | None = None) -> str:
    """One character for each value, up to the greatest of them (or `top`, if that is greater); None is a gap."""
    highest = max([value for value in values if value is not None] + [top or 0.0], default=0.0)
    return "".join(" " if value is None else _step(value, highest) for value in values)


def _step(value: float, highest: float) -> str:
    if highest <= 0:
        return _STEPS[0]
    return _STEPS[min(len(_STEPS) - 1, int(value / highest * len(_STEPS)))]


def meter(share: float, width: int, style: str) -> Text:
    """A bar of `width` characters, `share` of which is done."""
    halves = round(min(max(share, 0.0), 1.0) * width * 2)
    done = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return Text.assemble((done, style), ("━" * (width - len(done)), "dim"))
