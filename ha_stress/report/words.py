"""Figures as people read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def number(value: float | None, digits: int = 0) -> str:
    """1,204 or 12.5: as many digits behind the point as are asked for, but none for a whole number."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() or not digits else f"{value:,.{digits}f}"


def rate(value: float | None) -> str:
    """Arrivals per second, without the unit."""
    if value is None:
        return "-"
    return number(value, 0 if value >= 100 else 1 if value >= 10 else 2)


def ms(value: float | None) -> str:
    """Milliseconds with the unit that fits: 0.42 ms, 12.3 ms, 1.20 s."""
    if value is None:
        return "-"
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def percent(part: float, whole: float) -> str:
    """Small shares keep a digit that says something: 0.003 %."""
    if not whole:
        return "-"
    share = 100 * part / whole
    if share in (0, 100):
        return f"{share:.0f} %"
    if part and share < 0.01:
        return f"{share:.1g} %"
    return f"{min(share, 99.999):.3f} %" if share > 99.9 else f"{share:.2f} %"


def seconds(value: float) -> str:
    """A stretch of time: 12.35 s, 5 min 20 s, 2 h 5 min."""
    if value < 120:
        return f"{value:.2f}".rstrip("0").rstrip(".") + " s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def reasons_of(row: Mapping[str, Any]) -> str:
    """What went wrong with a request that is counted by name, the most frequent first: `timeout 12, status 503 4`."""
    found = dict(row["failures"])
    found |= {f"status {status}": count for status, count in row["statuses"].items() if status[:1] in ("4", "5")}
    return ", ".join(f"{what} {number(count)}" for what, count in sorted(found.items(), key=lambda one: -one[1]))


def moment(unix_s: float) -> str:
    """A day and time that mean the same everywhere."""
    return datetime.fromtimestamp(unix_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(unix_s: float) -> str:
    at = datetime.fromtimestamp(unix_s, tz=UTC)
    return at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03d}"
