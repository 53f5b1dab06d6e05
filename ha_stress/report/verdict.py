"""One sentence on what became of a run, out of what the master judged and of the books. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ha_stress.report import words
from ha_stress.report.cases import observed
from ha_stress.report.run import Run

#: Tone (good, bad, warn or plain), a word, a sentence.
Said = tuple[str, str, str]


def verdict_of(run: Run) -> Said:
    task = run.task
    judged = task.get("verdict") or {}
    if task["status"] != "ended":
        return "plain", str(task["status"]).capitalize(), "The run has not ended: figures may still change."
    if not task["books"]["balanced"]:
        return "bad", "Defect", "The books do not balance; please report it."
    if judged.get("aborted"):
        return _aborted(judged["aborted"])
    if judged.get("passed") is False:
        return _failed(judged)
    if judged.get("valid") is False:
        reasons = "; ".join(one["sentence"] for one in judged["validity"] if not one["ok"])
        return "warn", "Not valid", f"{reasons[:1].upper()}{reasons[1:]}."
    if judged.get("passed"):
        count = len(judged["thresholds"])
        kept = "The threshold is kept" if count == 1 else f"All {count} thresholds are kept"
        return "good", "Passed", f"{kept}, the run is valid, and the books balance."
    return _by_the_books(task)


def _aborted(why: Mapping[str, Any]) -> Said:
    return (
        "bad",
        "Aborted",
        f"The threshold {why['threshold']} was broken after {words.seconds(float(why['after_s']))}.",
    )


def _failed(judged: Mapping[str, Any]) -> Said:
    broken = [one for one in judged["thresholds"] if one["ok"] is False]
    which = "; ".join(f"{one['text']} (it was {observed(one)})" for one in broken)
    sentence = f"{len(broken)} of {len(judged['thresholds'])} thresholds broken: {which}."
    if judged.get("valid") is False:
        sentence += " The run is not valid either, see below."
    return "bad", "Failed", sentence


def _by_the_books(task: Mapping[str, Any]) -> Said:
    books = task["books"]
    missing, wrong = books["intended"] - books["completed"], int(books.get("wrong") or 0)
    if not missing and not wrong:
        return "good", "Passed", f"All {words.number(books['completed'])} requests completed, and the books balance."
    parts = [f"{words.number(books[name])} {name}" for name in ("failed", "dropped", "uncovered") if books[name]]
    lost = missing - sum(books[name] for name in ("failed", "dropped", "uncovered"))
    parts += [f"{words.number(lost)} never answered"] if lost else []
    parts += [f"{words.number(wrong)} answered wrongly"] if wrong else []
    sentence = f"{words.number(missing + wrong)} of {words.number(books['intended'])} requests did not go well: "
    tone, word = ("warn", "Incomplete") if books["completed"] > wrong else ("bad", "Failed")
    return tone, word, f"{sentence}{', '.join(parts)}."
