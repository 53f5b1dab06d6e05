"""Which thresholds may abort a task that runs, and are broken by now. Pure.

A breach has to be seen in two looks in a row, a window's in the same window, before it aborts anything: so that a second of
which half of the frames were still on their way does not end a run, also if each newest one is like that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ha_stress.tasks.course import LATE_S
from ha_stress.tasks.judging import Judgement, Observed, passes
from ha_stress.tasks.thresholds import Threshold, Unit, unit_of

#: The text of a threshold, and the last label of the window that broke it; 0 for the whole run so far.
Breach = tuple[str, int]

#: A rate over less than this says nothing.
MEASURED_S_MIN: Final = 2.0


def breaches(
    whole: Sequence[Judgement], recent: Mapping[str, Sequence[Observed]], thresholds: Sequence[Threshold], *,
    started_at: float, measured_s: float, newest: int,
) -> dict[Breach, dict[str, Any]]:  # fmt: skip
    """Every breach of a threshold that may abort, with what to say of it: over the `whole` run so far, or in one
    of its `recent` windows."""
    found: dict[Breach, dict[str, Any]] = {}
    for judgement in whole:
        threshold, ok = judgement.threshold, judgement.ok
        early = unit_of(threshold.metric) is Unit.PER_S and measured_s < MEASURED_S_MIN
        if threshold.abort and ok is False and newest - started_at >= threshold.after_s and not early:
            found[threshold.text, 0] = {"threshold": threshold.text, "observed": judgement.observed}
    for threshold in thresholds:
        for one in recent.get(threshold.text, ()) if threshold.abort else ():
            begins_s = one.first - 1 - started_at
            if one.value is not None and not passes(threshold, one.value) and begins_s >= threshold.after_s:
                window = {"from_s": round(begins_s, 3), "to_s": round(one.last - started_at, 3)}
                found[threshold.text, one.last] = {"threshold": threshold.text, "observed": one.value} | window
    return found


def confirmed(
    seen: Mapping[Breach, dict[str, Any]], before: Collection[Breach], *, newest: int
) -> list[dict[str, Any]]:
    """What was seen in the look `before`, too. Of a window that no frame can change any more it is enough that its threshold
    was broken then: looks may be far apart."""
    texts = {text for text, _ in before}
    settled = range(1, newest - LATE_S)
    return [said for one, said in seen.items() if one in before or (one[1] in settled and one[0] in texts)]
