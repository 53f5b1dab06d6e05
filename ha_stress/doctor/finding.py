"""One finding: what was found, whose fault it is, what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """A problem keeps the cluster from doing its work, or will at the next failure; a warning may become one."""

    PROBLEM = "problem"
    WARNING = "warning"
    OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`about` is what it concerns, in a word or two; `fault` who is to blame; `cure` what to do. Both "" if it is ok."""

    severity: Severity
    about: str
    found: str
    fault: str = ""
    cure: str = ""


def problem(about: str, found: str, *, fault: str, cure: str) -> Finding:
    return Finding(severity=Severity.PROBLEM, about=about, found=found, fault=fault, cure=cure)


def warning(about: str, found: str, *, fault: str, cure: str) -> Finding:
    return Finding(severity=Severity.WARNING, about=about, found=found, fault=fault, cure=cure)


def ok(about: str, found: str) -> Finding:
    return Finding(severity=Severity.OK, about=about, found=found)


def listed(names: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *most, last = list(names) or ["nobody"]
    return f"{', '.join(most)} and {last}" if most else last


def counted(count: int, one: str, many: str = "") -> str:
    """ "1 node", "3 nodes"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def span(seconds: float) -> str:
    """A duration as people say it: 800 ms, 12 s, 5 min, 3 h, 2 days."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
