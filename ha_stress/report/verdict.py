"""One sentence or two on what became of a run, out of what the master judged and of the books. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ha_stress.report import words
from ha_stress.report.cases import aborted_by, observed
from ha_stress.report.result import Result, result_of, setup_problem, teardown_problem
from ha_stress.report.run import Run

#: Tone (good, bad, warn or plain), a word, what is said of it.
Said = tuple[str, str, str]


def verdict_of(run: Run) -> Said:
    """What the run is judged by comes first (see `result`), what else there is to know behind it."""
    task = run.task
    tone, word, *sentences = _judged(task)
    if teardown_problem(task):
        sentences.append(f"Afterwards, {teardown_problem(task)}.")
    return tone, word, " ".join(one for one in sentences if one)


def _judged(task: Mapping[str, Any]) -> tuple[str, ...]:
    judged = task.get("verdict") or {}
    match result_of(task):
        case Result.UNDER_WAY:
            return "plain", str(task["status"]).capitalize(), "The run has not ended: figures may still change."
        case Result.DEFECT:
            return "bad", "Defect", "The books do not balance; please report it."
        case Result.NOT_ALLOWED:
            return "bad", "Not allowed", "The target is not among those that may be loaded (--allow)."
        case Result.NOT_BEGUN:
            return "bad", "Failed", f"The scenario did not begin: {setup_problem(task)}."
        case Result.NOT_VALID:
            doubts = _doubts(judged)
            return "warn", "Not valid", f"{doubts[:1].upper()}{doubts[1:]}.", _thresholds(judged)
        case Result.BROKEN:
            return "bad", "Aborted" if judged.get("aborted") else "Failed", _thresholds(judged), _also(judged)
        case Result.INCOMPLETE:
            return *_incomplete(task), _also(judged)
        case Result.PASSED if judged.get("passed"):
            return "good", "Passed", _thresholds(judged), "The run is valid, and the books balance."
    completed = words.number(task["books"]["completed"])
    return "good", "Passed", f"All {completed} requests completed, and the books balance."


def _doubts(judged: Mapping[str, Any]) -> str:
    return "; ".join(str(one["sentence"]) for one in judged["validity"] if not one["ok"])


def _also(judged: Mapping[str, Any]) -> str:
    return f"The run is not valid either: {_doubts(judged)}." if judged.get("valid") is False else ""


def _thresholds(judged: Mapping[str, Any]) -> str:
    """What they say, broken or kept; empty if there are none that could be judged."""
    if judged.get("aborted"):
        return f"{aborted_by(judged['aborted'])}."
    if judged.get("passed"):
        count = len(judged["thresholds"])
        return "The threshold is kept." if count == 1 else f"All {count} thresholds are kept."
    return _broken(judged["thresholds"]) if judged.get("passed") is False else ""


def _broken(thresholds: Sequence[Mapping[str, Any]]) -> str:
    broken, count = [one for one in thresholds if one["ok"] is False], len(thresholds)
    which = "; ".join(f"{one['text']} (it was {observed(one)})" for one in broken)
    if len(broken) == count:
        head = "The threshold is" if count == 1 else f"All {count} thresholds are"
    else:
        head = f"{len(broken)} of {count} thresholds {'is' if len(broken) == 1 else 'are'}"
    return f"{head} broken: {which}."


def _incomplete(task: Mapping[str, Any]) -> Said:
    """Judged by the books alone."""
    books = task["books"]
    missing, wrong = books["intended"] - books["completed"], int(books.get("wrong") or 0)
    parts = [f"{words.number(books[name])} {name}" for name in ("failed", "dropped", "uncovered") if books[name]]
    lost = missing - sum(books[name] for name in ("failed", "dropped", "uncovered"))
    parts += [f"{words.number(lost)} never answered"] if lost else []
    parts += [f"{words.number(wrong)} answered wrongly"] if wrong else []
    sentence = f"{words.number(missing + wrong)} of {words.number(books['intended'])} requests did not go well: "
    tone, word = ("warn", "Incomplete") if books["completed"] > wrong else ("bad", "Failed")
    return tone, word, f"{sentence}{', '.join(parts)}."
