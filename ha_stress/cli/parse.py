"""What people type: durations, rates, headers. Pure; a ConfigError is one sentence with an example."""

from __future__ import annotations

import re
from collections.abc import Iterable

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


def parse_headers(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of "Name: value" lines."""
    pairs = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ConfigError(f"header {line!r} has no name: write for example 'Accept: text/html'")
        pairs.append((name.strip(), value.strip()))
    return pairs


def parse_pairs(option: str, items: Iterable[str]) -> dict[str, str]:
    """A mapping of "key=value" items."""
    pairs: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ConfigError(f"{option} {item!r} is not of the form key=value")
        pairs[key.strip()] = value.strip()
    return pairs


def _finite(value: float, text: str) -> float:
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{text!r} is not a duration: write for example 20s, 1m30s or 500ms")
    return value
