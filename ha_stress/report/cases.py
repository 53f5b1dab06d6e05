"""What of a run was judged, one sentence each: its target, its scenario, the books, thresholds, checks, validity. Pure.

The verdict itself is the master's (`task["verdict"]`); a run without one is judged by its books alone. Of a run that has
ended a case failed exactly if the exit code of `ha-stress run` is not 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ha_stress.report import words
from ha_stress.report.result import Result, result_of, setup_problem, teardown_problem
from ha_stress.report.run import Run

#: Validity findings by the names that the master gives them.
_MEANING: Final = {
    "cpu": "the generator had processor time to spare",
    "late": "requests went out on time",
    "loop_lag": "the nodes kept up with themselves",
    "clock_skew": "the clocks agree",
    "dropped": "there was room for every request",
    "uncovered": "nobody who died took requests along",
}


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"  # there was nothing to judge it by


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`group` is one of target, scenario, books, threshold, check, validity; `found` says what was measured."""

    group: str
    name: str
    outcome: Outcome
    found: str


def cases_of(run: Run) -> list[Case]:
    """What says most about the run first, as in the verdict: why its figures are worth nothing goes before them."""
    task = run.task
    before, validity = [*_target(task), *_errands(task), *_books(task)], [*_validity(task)]
    judged = [*_thresholds(task), *_checks(task)]
    return [*before, *validity, *judged] if result_of(task) is Result.NOT_VALID else [*before, *judged, *validity]


def _target(task: Mapping[str, Any]) -> Iterator[Case]:
    if refused := task["failures"].get("not_allowed"):
        found = f"{refused:,} requests were refused: it is not among those that may be loaded (--allow)"
        yield Case(group="target", name="the target may be loaded", outcome=Outcome.FAILED, found=found)


def _errands(task: Mapping[str, Any]) -> Iterator[Case]:
    """What failed of the functions of a scenario that run once."""
    if problem := setup_problem(task):
        yield Case(group="scenario", name="its setup succeeded", outcome=Outcome.FAILED, found=problem)
    if problem := teardown_problem(task):
        found = f"{problem}; the verdict is not of it"
        yield Case(group="scenario", name="its teardown succeeded", outcome=Outcome.UNKNOWN, found=found)


def _books(task: Mapping[str, Any]) -> Iterator[Case]:
    books = task["books"]
    sums = f"{books['intended']:,} intended = {books['started']:,} started + {books['dropped']:,} dropped"
    yield Case(
        group="books",
        name="intended = started + dropped + uncovered",
        outcome=_passed(books["balanced"]),
        found=f"{sums} + {books['uncovered']:,} uncovered",
    )
    missing = books["intended"] - books["completed"]
    words = f"{books['completed']:,} of {books['intended']:,} arrivals completed"
    if not task.get("thresholds"):
        yield Case(group="books", name="every request completed", outcome=_passed(missing == 0), found=words)


def _thresholds(task: Mapping[str, Any]) -> Iterator[Case]:
    judged = task.get("verdict") or {}
    if why := judged.get("aborted"):
        yield Case(group="threshold", name="none ended the run", outcome=Outcome.FAILED, found=aborted_by(why))
    for one in judged.get("thresholds") or ():
        yield Case(group="threshold", name=str(one["text"]), outcome=_judged(one["ok"]), found=observed(one))


def _checks(task: Mapping[str, Any]) -> Iterator[Case]:
    """With thresholds it is they that decide how many failures are too many."""
    failures: Mapping[str, int] = task.get("check_failures") or {}
    completed = task["books"]["completed"]
    for text in dict.fromkeys([*(task.get("checks") or ()), *failures]):
        count = failures.get(text, 0)
        outcome = Outcome.PASSED if not count else Outcome.UNKNOWN if task.get("thresholds") else Outcome.FAILED
        said = f"{count:,} of {completed:,} answers failed it"
        if outcome is Outcome.UNKNOWN:
            said += "; the thresholds decide whether that is too many"
        yield Case(group="check", name=str(text), outcome=outcome, found=said)


def _validity(task: Mapping[str, Any]) -> Iterator[Case]:
    for one in (task.get("verdict") or {}).get("validity") or ():
        yield Case(
            group="validity",
            name=_MEANING.get(one["name"], one["name"]),
            outcome=_passed(one["ok"]),
            found=one["sentence"],
        )


def aborted_by(why: Mapping[str, Any]) -> str:
    return f"The threshold {why['threshold']} was broken after {words.seconds(float(why['after_s']))}"


def observed(threshold: Mapping[str, Any]) -> str:
    """What was measured of a threshold, with its unit, and when it was worst."""
    value = threshold.get("observed")
    if value is None:
        return "nothing was measured"
    match threshold.get("unit"):
        case "ms":
            shown = words.ms(value)
        case "share":
            shown = words.percent(value, 1)
        case "per_s":
            shown = f"{words.rate(value)}/s"
        case _:
            shown = words.number(value)
    window = threshold.get("window")
    return f"{shown} at worst, from {window['from_s']:g} s to {window['to_s']:g} s" if window else shown


def _judged(ok: bool | None) -> Outcome:
    return Outcome.UNKNOWN if ok is None else _passed(ok)


def _passed(good: bool) -> Outcome:
    return Outcome.PASSED if good else Outcome.FAILED
