"""Durations and rates as people type them. Pure; a ConfigError is one sentence with an example."""

from __future__ import annotations

import re

from ha_stress.base.errors import ConfigError

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|d)")
_RATE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kKmM]?)(?:/(s|sec|m|min|h))?\Z")
_PER_S = {None: 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of "20s", "1m30s", "500ms", "2h", or of a plain number (seconds)."""
    compact = text.strip().replace(" ", "")
    try:
        return _finite(float(compact), text)
    except ValueError:
        pass
    pieces = _PIECE.findall(compact)
    if not pieces or "".join(number + unit for number, unit in pieces) != compact:
        raise ConfigError(f"{text!r} is not a duration: write for example 20s, 1m30s or 500ms")
    return _finite(sum(float(number) * _UNIT_S[unit] for number, unit in pieces), text)


def parse_rate(text: str) -> float:
    """Arrivals per second of "500", "1.5k", "500/s", "90/min"."""
    match = _RATE.match(text.strip())
    if match:
        number, factor, per = match.groups()
        rate = float(number) * {"": 1.0, "k": 1e3, "m": 1e6}[factor.lower()] / _PER_S[per]
        if rate < float("inf"):
            return rate
    raise ConfigError(f"{text!r} is not a rate: write for example 500, 1.5k, 500/s or 90/min")


def duration_text(seconds: float) -> str:
    """The shortest way to write it: 90 is "1m30s"."""
    if seconds < 1 or seconds != int(seconds):
        return f"{seconds:.12g}s"
    pieces, left = [], int(seconds)
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(_UNIT_S[unit]))
        if count:
            pieces.append(f"{count}{unit}")
    return "".join(pieces)


def _finite(value: float, text: str) -> float:
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{text!r} is not a duration: write for example 20s, 1m30s or 500ms")
    return value
