"""What the benches' commands have in common: options, a report, goals, an exit code."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from math import nan
from typing import Any

import redis

from ha_stress.base.errors import HaStressError


def say(sentence: str) -> None:
    """Progress, beside the report on standard output."""
    print(sentence, file=sys.stderr, flush=True)


def parser_of(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options of `python -m bench.<name>`; its first line of `doc` is the description."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=(doc or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


def real(low: float, high: float) -> Callable[[str], float]:
    """Of an option: a number in this range, or one sentence."""

    def read(text: str) -> float:
        try:
            value = float(text.replace(",", ""))
        except ValueError:
            value = nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:,} to {high:,}")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Of an option: a whole number in this range, or one sentence."""
    in_range = real(low, high)

    def read(text: str) -> int:
        value = in_range(text)
        if not value.is_integer():
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        return int(value)

    return read


def carry_out(
    measure: Callable[[], dict[str, Any]], shown: Callable[[dict[str, Any]], str], *, as_json: bool
) -> tuple[dict[str, Any] | None, int]:
    """Measure and print: the report (None if it came to nothing) and the exit code, 1 if one of its `goals` is missed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    try:
        report = measure()
    except (HaStressError, redis.RedisError) as error:
        say(f"error: {error}")
        return None, 1
    print(json.dumps(report) if as_json else shown(report))
    return report, 0 if all(goal["met"] for goal in report["goals"]) else 1


def conditions(report: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in report["conditions"].items())
