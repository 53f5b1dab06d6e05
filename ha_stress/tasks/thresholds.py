"""What a run must keep to be passed, and how it is written. Pure. `judging` looks at what was measured.

    p99 < 200ms      p95(service) < 50ms      mean < 20ms      max < 1s           latencies: us, ms (the default), s
    error_rate < 1%                                            a part of all arrivals, as percent or below 1
    failed < 10      dropped == 0      uncovered == 0          counts
    rate >= 990                                                arrivals sent per second

    p99{GET /cart} < 50ms        error_rate{login} < 1%        of the requests of one name, in a mix or a scenario

    ... over 10s     in every stretch of 10 s, not over the whole run
    ... abort        a breach stops the task
    ... after 30s    which it may not in the first 30 s of the task

Latencies are response times, from the schedule, unless `(service)` asks for those from the send. error_rate is
(failed + wrong + dropped + uncovered) / intended; in a stretch of time, where nobody knows yet of what is uncovered,
(failed + wrong + dropped) / (completed + failed + dropped). The warm-up does not count. Of the requests of one name there
are service times, over the whole run, and error_rate is (failed + wrong) / started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import CHECK_TEXT_MAX, DURATION_S_MAX, WINDOW_S_MAX
from ha_stress.base.quantities import parse_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """`metric` `operator` `value`, over the whole run, or over every sliding window of `window_s` seconds. With a `request`
    it is of those of that name only.

    `text` is how the operator wrote it. With `abort` a breach stops the task; that may only happen once `after_s` of the
    task have passed. Latencies are in milliseconds, `error_rate` is a part of 1.
    """

    text: str
    metric: str
    operator: str
    value: float
    window_s: float | None = None
    abort: bool = False
    after_s: float = 0.0
    request: str = ""

    @property
    def floor(self) -> bool:
        """Whether it fails for what is too little, rather than for what is too much."""
        return self.operator in (">", ">=")


class Unit(StrEnum):
    """What the figures of a metric are."""

    MS = "ms"
    SHARE = "share"
    COUNT = "count"
    PER_S = "per_s"


#: Metrics that the counters give. Latencies are told apart by `latency_of`.
COUNTS: Final = ("intended", "started", "completed", "failed", "wrong", "dropped", "uncovered", "late", "retried")

#: And those that there are of the requests of one name.
COUNTS_BY_NAME: Final = ("started", "completed", "failed", "wrong")

_LATENCY: Final = re.compile(r"(p\d{1,2}(?:\.\d{1,3})?|p100|median|mean|min|max)(?:\((response|service)\))?", re.ASCII)
_THRESHOLD: Final = re.compile(
    r"\s*([a-z][\w.]*(?:\(\w*\))?)(?:\{(.*)\})?\s*(==|!=|<=|>=|<|>)\s*(\S+)((?:\s.*)?)", re.IGNORECASE
)
_OPTION: Final = re.compile(r"\s+(?:(over|after)\s+(\S+)|(abort))(?=\s|$)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([a-z/%]*)", re.ASCII | re.IGNORECASE)
_UNITS: Final[Mapping[Unit, Mapping[str, float]]] = {
    Unit.MS: {"": 1.0, "us": 0.001, "ms": 1.0, "s": 1000.0},
    Unit.SHARE: {"": 1.0, "%": 0.01},
    Unit.COUNT: {"": 1.0, "k": 1e3, "m": 1e6},
    Unit.PER_S: {"": 1.0, "/s": 1.0, "k": 1e3, "k/s": 1e3, "m": 1e6, "m/s": 1e6},
}
_BY_NAME: Final = "p99{GET /cart} < 200ms"
_EXAMPLES: Final[Mapping[Unit, str]] = {
    Unit.MS: "p99 < 200ms",
    Unit.SHARE: "error_rate < 1%",
    Unit.COUNT: "failed < 10",
    Unit.PER_S: "rate >= 990",
}


def latency_of(metric: str) -> tuple[str, str] | None:
    """(statistic, which latency) of a metric such as `p99(service)`; None if it is not a latency."""
    found = _LATENCY.fullmatch(metric)
    return (found[1], found[2] or "response") if found else None


def unit_of(metric: str) -> Unit | None:
    """None if there is no such metric."""
    if latency_of(metric):
        return Unit.MS
    if metric == "error_rate":
        return Unit.SHARE
    if metric == "rate":
        return Unit.PER_S
    return Unit.COUNT if metric in COUNTS else None


def parse_threshold(text: str) -> Threshold:
    """What `text` asks for; ConfigError says what is wrong with it, with an example."""
    text = text.strip()
    if len(text) > CHECK_TEXT_MAX or not text.isprintable():
        raise ConfigError(f"threshold {text[:40]!r} must be one line of at most {CHECK_TEXT_MAX} characters")
    found = _THRESHOLD.fullmatch(text)
    if not found:
        raise _wrong(text, "it is not of the form METRIC < VALUE", "p99 < 200ms over 10s abort")
    metric, request, operator, value = found[1].lower(), found[2], found[3], found[4]
    unit = unit_of(metric)
    if unit is None:
        raise _wrong(text, f"there is no metric {metric!r}", ", ".join((*_EXAMPLES.values(), "p95(service) < 50ms")))
    options = _options(text, found[5])
    if request is not None:
        _check_by_name(text, metric, request, options)
    window_s = options.get("over")
    if window_s is not None and metric == "uncovered":
        raise _wrong(text, "what is uncovered is known of the whole run only", "uncovered == 0")
    if window_s is not None and not (1 <= window_s <= WINDOW_S_MAX and window_s == int(window_s)):
        raise _wrong(text, f"a stretch is a whole number of seconds, 1 to {WINDOW_S_MAX:g}", "p99 < 200ms over 10s")
    if "after" in options and "abort" not in options:
        raise _wrong(text, "'after' says when a breach may abort, so it needs 'abort'", "p99 < 200ms abort after 30s")
    number = _value(text, value, unit)
    if "abort" in options and unit is Unit.COUNT and not (operator in ("<", "<=") or (operator == "==" and not number)):
        raise _wrong(text, "a count that still grows cannot abort for being small", "failed < 10 abort")
    return Threshold(
        text=text,
        metric=metric,
        operator=operator,
        value=number,
        window_s=window_s,
        abort="abort" in options,
        after_s=options.get("after", 0.0),
        request=request or "",
    )


def _check_by_name(text: str, metric: str, request: str, options: Mapping[str, float]) -> None:
    latency = latency_of(metric)
    if not request:
        raise _wrong(text, "there is no name between the braces", _BY_NAME)
    if latency is not None and metric.endswith("(response)"):
        raise _wrong(text, "response times are of all requests; of one name there are those from the send", _BY_NAME)
    if latency is None and metric not in (*COUNTS_BY_NAME, "error_rate"):
        raise _wrong(text, f"there is no {metric} of one name", f"{_BY_NAME}, error_rate{{GET /cart}} < 1%")
    if "over" in options:
        raise _wrong(text, "figures by name are of the whole run", _BY_NAME)


def _wrong(text: str, why: str, example: str) -> ConfigError:
    return ConfigError(f"threshold {text!r}: {why}; write for example {example!r}")


def _options(text: str, words: str) -> dict[str, float]:
    options: dict[str, float] = {}
    end = 0
    while found := _OPTION.match(words, end):
        name = (found[1] or found[3]).lower()
        if name in options:
            raise _wrong(text, f"{name!r} is said twice", "p99 < 200ms over 10s abort after 30s")
        options[name] = _seconds(text, found[2]) if found[1] else 1.0
        end = found.end()
    if words[end:].strip():
        raise _wrong(text, f"{words[end:].strip()!r} is not understood", "p99 < 200ms over 10s abort after 30s")
    return options


def _seconds(text: str, word: str) -> float:
    with suppress(ConfigError):
        seconds = parse_duration(word.lower())
        if seconds <= DURATION_S_MAX:
            return seconds
    raise _wrong(text, f"{word!r} is not a duration", "p99 < 200ms over 10s abort after 30s")


def _value(text: str, word: str, unit: Unit) -> float:
    found = _NUMBER.fullmatch(word)
    if not found or found[2].lower() not in _UNITS[unit]:
        raise _wrong(text, f"{word!r} is not a value of that metric", _EXAMPLES[unit])
    value = float(found[1]) * _UNITS[unit][found[2].lower()]
    if unit is Unit.SHARE and (value > 1 or (value == 1 and not found[2])):
        raise _wrong(text, "a part of all arrivals is written as percent, or as a number below 1", _EXAMPLES[unit])
    return value
