"""What became of a run: the one order in which its questions are asked. Exit codes and reports follow it. Pure.

A saturated generator makes every figure worthless, those of thresholds too: it goes before them. Load that is missing is
in the books for thresholds to judge; it makes invalid what they would have passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Result(StrEnum):
    UNDER_WAY = "under way"
    DEFECT = "defect"  # the books do not balance
    NOT_ALLOWED = "not allowed"
    NOT_BEGUN = "not begun"  # the setup of its scenario failed
    NOT_VALID = "not valid"
    BROKEN = "broken"  # a threshold is
    INCOMPLETE = "incomplete"  # there are no thresholds to say how many requests that fail are too many
    PASSED = "passed"


def result_of(task: Mapping[str, Any]) -> Result:
    """Of one task, as the API describes it."""
    books, judged = task["books"], task.get("verdict") or {}
    passed = judged.get("passed")
    asked = (
        (task["status"] != "ended", Result.UNDER_WAY),
        (not books["balanced"], Result.DEFECT),
        (bool(task["failures"].get("not_allowed")), Result.NOT_ALLOWED),
        (bool(setup_problem(task)), Result.NOT_BEGUN),
        (bool(judged.get("saturated")), Result.NOT_VALID),
        (passed is False, Result.BROKEN),
        (passed is None and not _went_well(books), Result.INCOMPLETE),
        (judged.get("valid") is False, Result.NOT_VALID),
    )
    return next((result for holds, result in asked if holds), Result.PASSED)


def setup_problem(task: Mapping[str, Any]) -> str:
    """Why the setup of its scenario failed; empty if it did not."""
    return _problem(task, "setup")


def teardown_problem(task: Mapping[str, Any]) -> str:
    """Why its teardown failed: nothing of the run is different for it, but it may have left things behind."""
    return _problem(task, "teardown")


def _problem(task: Mapping[str, Any], errand: str) -> str:
    """One sentence, without its full stop."""
    return str((task.get("scenario") or {}).get(f"{errand}_problem") or "").rstrip(" .:")


def _went_well(books: Mapping[str, Any]) -> bool:
    return bool(books["completed"] == books["intended"] and not books.get("wrong"))
