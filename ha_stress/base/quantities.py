"""Durations and rates as people type them. Pure; a ConfigError is one sentence with an example."""

from __future__ import annotations

import re

from ha_stress.base.errors import ConfigError

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_SECONDS = re.compile(rf"{_NUMBER}(?:[eE]\d+)?", re.ASCII)
_PIECE = re.compile(rf"{_NUMBER}\s*(ms|s|m|h|d)\s*", re.ASCII)
_RATE = re.compile(rf"{_NUMBER}\s*([kKmM]?)(?:/(s|sec|m|min|h))?", re.ASCII)
_PER_S = {None: 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of "20s", "1m30s", "500ms", "2h", or of a plain number (seconds)."""
    word, seconds, end = text.strip(), 0.0, 0
    if _SECONDS.fullmatch(word):
        seconds, end = float(word), len(word)
    while piece := _PIECE.match(word, end):
        seconds, end = seconds + float(piece[1]) * _UNIT_S[piece[2]], piece.end()
    if not end or end < len(word) or seconds == float("inf"):
        raise ConfigError(f"{text!r} is not a duration: write for example 20s, 1m30s or 500ms")
    return seconds


def parse_rate(text: str) -> float:
    """Arrivals per second of "500", "1.5k", "500/s", "90/min"."""
    match = _RATE.fullmatch(text.strip())
    if match:
        number, factor, per = match.groups()
        rate = float(number) * {"": 1.0, "k": 1e3, "m": 1e6}[factor.lower()] / _PER_S[per]
        if rate < float("inf"):
            return rate
    raise ConfigError(f"{text!r} is not a rate: write for example 500, 1.5k, 500/s or 90/min")


def duration_text(seconds: float) -> str:
    """The shortest way to write it: 90 is "1m30s"."""
    if seconds < 1 or seconds != int(seconds):
        return f"{number_text(float(f'{seconds:.12g}'))}s"
    pieces, left = [], int(seconds)
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(_UNIT_S[unit]))
        if count:
            pieces.append(f"{count}{unit}")
    return "".join(pieces)


def number_text(value: float) -> str:
    """As few digits as are the same number, none of them an exponent: 1500000, 0.00001."""
    shortest = repr(float(value)).removesuffix(".0")
    if "e" not in shortest:
        return shortest
    from decimal import Decimal

    return f"{Decimal(shortest):f}"
