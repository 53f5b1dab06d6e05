"""Curves of a few lines of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

from rich.text import Text

_STEPS: Final = " ▁▂▃▄▅▆▇█"
_EIGHTHS: Final = len(_STEPS) - 1

#: A curve's values, each from 0 to 1; None is a gap.
Shares = Sequence[float | None]


def linear(values: Sequence[float | None], top: float | None = None) -> list[float | None]:
    """From 0 up to the greatest value, or to `top` if that is greater."""
    highest = max([value for value in values if value is not None] + [top or 0.0], default=0.0)
    return [None if value is None else value / highest if highest else 0.0 for value in values]


def logarithmic(values: Sequence[float | None]) -> list[float | None]:
    """From somewhat below the least to the greatest: of latencies one outlier would flatten everything else."""
    some = [value for value in values if value is not None and value > 0]
    if not some:
        return [None] * len(values)
    low = min(some) / 1.5
    width = max(log(max(some) / low), log(8.0))
    return [None if value is None else log(max(value, low) / low) / width for value in values]


def curve(shares: Shares, rows: int) -> list[str]:
    """Lines of text, the highest first, one character for each value. A value that is there is never invisible."""
    heights = [-1 if one is None else max(1, round(min(one, 1.0) * rows * _EIGHTHS)) for one in shares]
    return [
        "".join(_STEPS[min(_EIGHTHS, max(0, height - row * _EIGHTHS))] for height in heights)
        for row in reversed(range(rows))
    ]


def meter(share: float, width: int, style: str) -> Text:
    """A bar of `width` characters, `share` of which is done."""
    halves = round(min(max(share, 0.0), 1.0) * width * 2)
    done = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return Text.assemble((done, style), ("─" * (width - len(done)), "dim"))
