"""The verdict of a task as the API tells it.

Of a task that has ended it is what the master found when it closed the books. Of one that runs, windows and engines are
those of the last seconds: what is going on now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ha_stress.api.models_verdict import AbortView, FindingView, ThresholdView, VerdictView, WindowView
from ha_stress.base.limits import SERIES_PAGE_FRAMES
from ha_stress.store.evidence import seconds_of
from ha_stress.store.series import Piece
from ha_stress.store.store import Store, TaskRecord
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.judging import Judgement, Observed, judge, stretch_of, totals_of, windows, worst
from ha_stress.tasks.ledger import Counters, Row
from ha_stress.tasks.schedule import Plan
from ha_stress.tasks.spec import Status
from ha_stress.tasks.thresholds import unit_of
from ha_stress.tasks.verdict import EngineUse, Evidence, Verdict, verdict

#: Of a running task: windows that end in, and engines in, so many of the last seconds.
_NOW_S: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was read for the verdict of a task that has a plan."""

    newest: int
    counted: Counters | None
    pieces: Sequence[Piece]
    engines: EngineUse


async def measured(store: Store, record: TaskRecord) -> Measured | None:
    """None while there is nothing to judge by."""
    span = await store.series_span(record.spec.id) if record.plan is not None else None
    if record.plan is None or span is None:
        return None
    newest = span.newest_label
    spec, task, ended = record.spec, record.spec.id, record.status is Status.ENDED
    stretch = stretch_of(record.plan.started_at, record.plan.duration_s, spec.warm_up_s)
    stored = record.outcome.get("engines")
    if ended and stored:
        engines = EngineUse(**stored)
    else:
        first = max(stretch.begin, 0 if ended else newest - _NOW_S)
        engines = await store.engine_use(task, first=first, last=newest if ended else newest - 1)
    pieces: list[Piece] = []
    width = max((int(one.window_s or 0) for one in spec.thresholds), default=0)
    if width and not ended:
        pieces = await store.series(task, after=(newest - _NOW_S - width, "", "", 0), limit=SERIES_PAGE_FRAMES)
    return Measured(
        newest=newest,
        counted=await store.counted(task, first=stretch.begin) if spec.warm_up_s else None,
        pieces=pieces,
        engines=engines,
    )


def verdict_of(
    record: TaskRecord, rows: Sequence[Row], blobs: tuple[bytes, bytes], found: Measured | None
) -> VerdictView:
    """Decodes histograms: not to be called on a loop."""
    plan, spec = record.plan, record.spec
    if plan is None or found is None:
        nothing = [Judgement(threshold=one, observed=None, ok=None) for one in spec.thresholds]
        return _view(Verdict(passed=None, valid=True, judgements=tuple(nothing), findings=()), 0.0)
    final = record.status is Status.ENDED
    totals = totals_of(
        plan,
        spec.warm_up_s,
        rows,
        counted=found.counted,
        newest=float("inf") if final and plan.duration_s is not None else found.newest,
        response=distribution(blobs[:1]),
        service=distribution(blobs[1:]),
    )
    evidence = Evidence(
        totals=totals,
        engines=found.engines,
        back_to_back=bool(spec.users) and not spec.think_time_s,
        lost=tuple(dict.fromkeys(holder.node for holder in plan.lost)),
        loop_lag_s=record.outcome.get("loop_lag_s"),
        clock_skew_s=record.outcome.get("clock_skew_s"),
    )
    judged = judge(spec.thresholds, totals, _worst(record, plan, found), final=final)
    return _view(verdict(judged, evidence, record.outcome.get("aborted")), plan.started_at)


def _worst(record: TaskRecord, plan: Plan, found: Measured) -> dict[str, Observed | None]:
    """The worst window of each sliding threshold: of the whole run once it is over, else of the last seconds."""
    spec = record.spec
    if record.status is Status.ENDED:
        stored = record.outcome.get("windows", {}).get("worst", {})
        return {text: Observed(value=value, first=first, last=last) for text, (value, first, last) in stored.items()}
    if not found.pieces:
        return {}
    seconds = {second.label: second for second in seconds_of(found.pieces)}
    stretch = stretch_of(plan.started_at, plan.duration_s, spec.warm_up_s)
    ends = (found.newest - _NOW_S, found.newest - 1)
    sliding = [one for one in spec.thresholds if one.window_s is not None]
    return {one.text: worst(one, windows(one, seconds, stretch, ends)) for one in sliding}


def _view(found: Verdict, started_at: float) -> VerdictView:
    aborted: Any = found.aborted
    return VerdictView(
        passed=found.passed,
        valid=found.valid,
        saturated=found.saturated,
        thresholds=[_threshold(one, started_at) for one in found.judgements],
        validity=[FindingView.model_validate(one, from_attributes=True) for one in found.findings],
        aborted=None
        if aborted is None
        else AbortView(threshold=aborted["threshold"], observed=aborted["observed"], after_s=aborted["after_s"]),
    )


def _threshold(one: Judgement, started_at: float) -> ThresholdView:
    threshold, unit = one.threshold, unit_of(one.threshold.metric)
    window = None
    if one.window is not None:
        first, last = one.window
        window = WindowView(from_s=round(max(0.0, first - 1 - started_at), 3), to_s=round(last - started_at, 3))
    return ThresholdView(
        text=threshold.text,
        metric=threshold.metric,
        unit=str(unit or ""),
        observed=None if one.observed is None else round(one.observed, 6),
        limit=threshold.value,
        ok=one.ok,
        window=window,
        abort=threshold.abort,
    )
