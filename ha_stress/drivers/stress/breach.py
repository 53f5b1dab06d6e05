"""Which thresholds may abort a task that runs, and are broken by now. Pure.

A breach has to be seen in two looks in a row before it aborts anything, so that a second of which half of the frames were
still on their way does not end a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ha_stress.tasks.judging import Judgement, Observed, passes
from ha_stress.tasks.thresholds import Threshold, Unit, unit_of

#: A rate over less than this says nothing.
MEASURED_S_MIN: Final = 2.0


def breaches(
    whole: Sequence[Judgement], recent: Mapping[str, Sequence[Observed]], thresholds: Sequence[Threshold], *,
    started_at: float, measured_s: float, newest: int,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Every threshold that may abort and is broken, by its text, with what to say of it: over the `whole` run so far, or in
    one of its `recent` windows."""
    found: dict[str, dict[str, Any]] = {}
    for judgement in whole:
        threshold, ok = judgement.threshold, judgement.ok
        early = unit_of(threshold.metric) is Unit.PER_S and measured_s < MEASURED_S_MIN
        if threshold.abort and ok is False and newest - started_at >= threshold.after_s and not early:
            found[threshold.text] = {"threshold": threshold.text, "observed": judgement.observed}
    for threshold in thresholds:
        for one in recent.get(threshold.text, ()) if threshold.abort else ():
            begins_s = one.first - 1 - started_at
            if one.value is not None and not passes(threshold, one.value) and begins_s >= threshold.after_s:
                window = {"from_s": round(begins_s, 3), "to_s": round(one.last - started_at, 3)}
                found[threshold.text] = {"threshold": threshold.text, "observed": one.value} | window
                break
    return found
