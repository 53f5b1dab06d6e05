"""What the other generators print, as numbers. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from ha_stress.base.errors import HaStressError

_UNITS_US: Final = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


class Unreadable(HaStressError):
    """A generator printed something else than expected: another version, or it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a generator says of its own run. `dropped` None: it does not count what it did not send."""

    p50_us: float
    p99_us: float
    max_us: float
    dropped: int | None = None


def ours(text: str) -> Said:
    """The JSON of `bench.load_ours` and of `bench.load_socket`. Unreadable if a request failed: nothing is measured then."""
    found = _json(text, "bench.load_ours", dict)
    if found.get("failed") or found.get("wrong"):
        raise Unreadable(f"requests failed ({found['failed']}) or were answered wrongly ({found['wrong']})")
    return Said(
        p50_us=found["p50_us"],
        p99_us=found["p99_us"],
        max_us=found["max_us"],
        dropped=found["dropped"],
    )


def wrk(text: str) -> Said:
    """`wrk --latency`, and wrk2's, which has more digits."""
    latency = re.search(r"^ +Latency +\S+ +\S+ +(\S+)", text, re.MULTILINE)
    p50 = re.search(r"^ +50(?:\.0+)?% +(\S+)", text, re.MULTILINE)
    p99 = re.search(r"^ +99(?:\.0+)?% +(\S+)", text, re.MULTILINE)
    if latency is None or p50 is None or p99 is None:
        raise Unreadable(f"wrk printed no latencies: {text[:200]!r}")
    return Said(p50_us=_duration_us(p50[1]), p99_us=_duration_us(p99[1]), max_us=_duration_us(latency[1]))


def _duration_us(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise Unreadable(f"{text!r} is not a duration as wrk prints them")
    return round(float(found[1]) * _UNITS_US[found[2]], 3)


def hey(text: str) -> Said:
    """hey's summary; its resolution is 100 us."""
    p50 = re.search(r"^ +50%+ in ([\d.]+) secs", text, re.MULTILINE)
    p99 = re.search(r"^ +99%+ in ([\d.]+) secs", text, re.MULTILINE)
    slowest = re.search(r"^ +Slowest:\s+([\d.]+) secs", text, re.MULTILINE)
    if p50 is None or p99 is None or slowest is None:
        raise Unreadable(f"hey printed no latencies: {text[:200]!r}")
    p50_us, p99_us, max_us = (round(float(found[1]) * 1e6, 3) for found in (p50, p99, slowest))
    return Said(p50_us=p50_us, p99_us=p99_us, max_us=max_us)


def k6(text: str) -> Said:
    """The file of `--summary-export` with `--summary-trend-stats p(50),p(99),max`."""
    metrics = _json(text, "k6", dict)["metrics"]
    taken = metrics["http_req_duration"]
    return Said(
        p50_us=round(taken["p(50)"] * 1e3, 3),
        p99_us=round(taken["p(99)"] * 1e3, 3),
        max_us=round(taken["max"] * 1e3, 3),
        dropped=int(metrics.get("dropped_iterations", {}).get("count", 0)),
    )


def locust(text: str) -> Said:
    """What `locust --json` prints: a histogram; its resolution is 1 ms."""
    rows = _json(text, "Locust", list)
    times: dict[float, int] = {}
    for row in rows:
        for taken_ms, count in row["response_times"].items():
            times[float(taken_ms)] = times.get(float(taken_ms), 0) + count
    if not times:
        raise Unreadable("Locust sent no request")
    return Said(
        p50_us=1e3 * _percentile(times, 50),
        p99_us=1e3 * _percentile(times, 99),
        max_us=round(1e3 * max(row["max_response_time"] for row in rows), 3),
    )


def _percentile(times: dict[float, int], wanted: float) -> float:
    """The smallest value that so many per cent do not exceed."""
    needed, seen = sum(times.values()) * wanted / 100, 0
    for value, count in sorted(times.items()):
        seen += count
        if seen >= needed:
            return value
    raise AssertionError("the last value is exceeded by nobody")


def _json(text: str, who: str, shape: type) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        raise Unreadable(f"{who} printed no JSON: {text[:200]!r}") from None
    if not isinstance(found, shape):
        raise Unreadable(f"{who} printed JSON of another shape: {text[:200]!r}")
    return found
