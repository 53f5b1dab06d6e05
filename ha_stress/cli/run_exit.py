"""What a run means to whoever called it: its exit code, and the sentence that goes with it. Pure.

Which question goes before which is said by `report.result`, for reports and for the code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ha_stress.cli.exit_codes import (
    EXIT_BOOKS,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_NOT_ALLOWED,
    EXIT_REQUESTS,
    EXIT_THRESHOLDS,
    EXIT_TIMEOUT,
)
from ha_stress.report.result import Result, result_of, setup_problem

_CODES: Final[Mapping[Result, int]] = {
    Result.UNDER_WAY: EXIT_TIMEOUT,
    Result.DEFECT: EXIT_BOOKS,
    Result.NOT_ALLOWED: EXIT_NOT_ALLOWED,
    Result.NOT_BEGUN: EXIT_REQUESTS,
    Result.NOT_VALID: EXIT_INVALID,
    Result.BROKEN: EXIT_THRESHOLDS,
    Result.INCOMPLETE: EXIT_REQUESTS,
    Result.PASSED: EXIT_DONE,
}
#: Of several tasks the first one of these that any has.
_GRAVEST: Final = (
    EXIT_BOOKS, EXIT_TIMEOUT, EXIT_NOT_ALLOWED, EXIT_INVALID, EXIT_THRESHOLDS, EXIT_REQUESTS, EXIT_DONE,
)  # fmt: skip


#: The same for one task of several, in a word or two.
RESULTS: Final[Mapping[int, str]] = {
    EXIT_DONE: "passed",
    EXIT_REQUESTS: "requests failed",
    EXIT_BOOKS: "books do not balance",
    EXIT_TIMEOUT: "results are late",
    EXIT_THRESHOLDS: "threshold broken",
    EXIT_INVALID: "not valid",
    EXIT_NOT_ALLOWED: "not allowed",
}


def exit_code(task: Mapping[str, Any]) -> int:
    """Of one task, as the API describes it."""
    return _CODES[result_of(task)]


def exit_code_of(tasks: Sequence[Mapping[str, Any]], *, interrupted: bool) -> int:
    codes = {exit_code(task) for task in tasks}
    return EXIT_INTERRUPTED if interrupted else next((code for code in _GRAVEST if code in codes), EXIT_DONE)


def sentence(code: int, tasks: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """What is said at the end: the words that stand out, and the others."""
    completed = sum(task["books"]["completed"] for task in tasks)
    judged = any(task["verdict"]["passed"] is not None for task in tasks)
    saturated = any(task["verdict"]["saturated"] for task in tasks)
    aborted = any(task["verdict"]["aborted"] for task in tasks)
    same = [task["verdict"] for task in tasks if exit_code(task) == code]
    broken = " A threshold is broken besides." if any(one["passed"] is False for one in same) else ""
    less = " The run is not valid either." if any(one["valid"] is False for one in same) else ""
    return {
        EXIT_DONE: (
            ("Passed.", "Every threshold holds, and the books balance.")
            if judged
            else (f"All {completed:,} requests completed;", "the books balance.")
        ),
        EXIT_REQUESTS: (
            ("A scenario did not begin:", "its setup failed, see above.")
            if any(map(setup_problem, tasks))
            else ("Not every request went well:", f"see what failed, was wrong, dropped or uncovered above.{less}")
        ),
        EXIT_BOOKS: ("The books do not balance:", "that is a defect of this program, please report it."),
        EXIT_TIMEOUT: ("The last results did not arrive in time:", "what is shown may not be all."),
        EXIT_THRESHOLDS: (
            ("Stopped by a threshold that was broken:", f"see above.{less}")
            if aborted
            else ("Not passed:", f"a threshold is broken, see above.{less}")
        ),
        EXIT_INVALID: (
            ("Not valid:", f"the generator was saturated, so these figures are its own and not the target's.{broken}")
            if saturated
            else ("Not valid:", "the load was less than asked for, see above.")
        ),
        EXIT_NOT_ALLOWED: ("Not allowed:", "the target is not among those that may be loaded (--allow)."),
        EXIT_INTERRUPTED: ("Interrupted;", "this is what was done until then."),
    }[code]
