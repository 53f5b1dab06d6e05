"""A run as a JSON document and back: everything that is known of it, under a version of its own. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Final

from ha_stress import __version__
from ha_stress.base.errors import ConfigError
from ha_stress.report.cases import cases_of
from ha_stress.report.run import BY_NAME, NUMBERS, SCHEMA, Latency, Run, Stretch
from ha_stress.report.story import marks_of, recoveries
from ha_stress.report.verdict import verdict_of

#: Stretches from the first to the last. `gather` makes 7,200 at most; each is held with its counters and histograms.
COURSE_MAX: Final = 100_000


def document_of(run: Run) -> dict[str, Any]:
    """What a JSON report holds. `schema` changes its number when a reader of the old one would be misled."""
    return {
        "schema": SCHEMA,
        "made_by": f"ha-stress {__version__}",
        "made_at": run.made_at,
        "command": run.command,
        "task": run.task,
        "said": said_of(run),
        "series": {"width_s": run.width_s, "buckets": [plain_of(one) for one in run.stretches]},
        "events": list(run.events),
        "failovers": list(run.failovers),
        "environment": run.environment,
    }


def said_of(run: Run) -> dict[str, Any]:
    """What the report makes of it. Not read back: it follows from the rest."""
    _, word, sentence = verdict_of(run)
    return {
        "verdict": word,
        "sentence": sentence,
        "judged": [asdict(case) for case in cases_of(run)],
        "marks": [asdict(mark) for mark in marks_of(run)],
        "recoveries": [asdict(one) for one in recoveries(run, run.stretches)],
    }


def parsed(text: str) -> Run:
    """A run out of the text of a JSON report. ConfigError says what is wrong with it."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError("it is not JSON: give a JSON report (ha-stress report TASK --json FILE)") from None
    return run_of(document if isinstance(document, dict) else {})


def run_of(document: Mapping[str, Any]) -> Run:
    """The inverse. ConfigError if it is no report, or one of another version."""
    schema = document.get("schema")
    if schema != SCHEMA:
        raise ConfigError(f"it is not a JSON report of this version: its schema is {schema!r}, not {SCHEMA!r}")
    try:
        width_s = int(document["series"]["width_s"])
        stretches = tuple(stretch_of(one, width_s) for one in document["series"]["buckets"])
        _check_course(stretches, width_s)
        run = Run(
            task=document["task"],
            stretches=stretches,
            width_s=width_s,
            events=tuple(document["events"]),
            failovers=tuple(document["failovers"]),
            environment=document["environment"],
            command=str(document["command"]),
            made_at=float(document["made_at"]),
        )
        said_of(run)  # what does not bear that is no report
        return run
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise ConfigError(f"the JSON report is damaged: {error!r}") from None


def _check_course(stretches: Sequence[Stretch], width_s: int) -> None:
    """What is made of a report has a row for each stretch from the first to the last, also where the file has none."""
    if width_s < 1 or any(after.second < before.second for before, after in pairwise(stretches)):
        raise ConfigError("the JSON report is damaged: its seconds do not follow each other")
    span_s = stretches[-1].second - stretches[0].second if stretches else 0
    if span_s // width_s >= COURSE_MAX:
        raise ConfigError(f"the JSON report is damaged: its last second is {span_s} s after its first one")


def stretch_of(bucket: Mapping[str, Any], width_s: int) -> Stretch:
    """A bucket of the API's series, or of a JSON report."""
    return Stretch(
        second=int(bucket["second"]),
        width_s=width_s,
        numbers={name: int(bucket.get(name) or 0) for name in NUMBERS},
        named={name: dict(bucket.get(name) or {}) for name in BY_NAME},
        response=_latency(bucket.get("response")),
        service=_latency(bucket.get("service")),
        response_us=(bucket.get("response_us") or "").encode("ascii"),
        service_us=(bucket.get("service_us") or "").encode("ascii"),
    )


def plain_of(one: Stretch) -> dict[str, Any]:
    return {
        "second": one.second,
        **one.numbers,
        **{name: dict(counts) for name, counts in one.named.items()},
        "response": None if one.response is None else asdict(one.response),
        "service": None if one.service is None else asdict(one.service),
        "response_us": one.response_us.decode("ascii"),
        "service_us": one.service_us.decode("ascii"),
    }


def _latency(found: Mapping[str, Any] | None) -> Latency | None:
    if found is None:
        return None
    names = ("mean_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
    return Latency(count=int(found["count"]), **{name: float(found[name]) for name in names})
