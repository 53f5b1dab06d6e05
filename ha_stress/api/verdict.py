"""The verdict of a task as the API tells it.

Of a task that has ended it is what the master found when it closed the books. Of one that runs, windows and engines are
those of the last seconds: what is going on now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ha_stress.api.models_verdict import AbortView, FindingView, ThresholdView, VerdictView, WindowView
from ha_stress.api.windows import NOW_S, LiveWindows
from ha_stress.base.limits import SERIES_FRAMES_MAX
from ha_stress.store.store import Store, TaskRecord
from ha_stress.tasks.course import worst_of
from ha_stress.tasks.distribution import Distribution
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.judging import Judgement, Observed, asked_for, judge, stretch_of, totals_of
from ha_stress.tasks.ledger import Row
from ha_stress.tasks.spec import Status
from ha_stress.tasks.thresholds import unit_of
from ha_stress.tasks.verdict import EngineUse, Evidence, Verdict, verdict

_MANY: Final = (
    f"the windows have more than {SERIES_FRAMES_MAX:,} frames: while the task runs, its master's last word on them is "
    "shown, which is the worst of the run and up to 15 s old"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was read for the verdict of a task that has a plan: up to the label `newest`, and of sliding thresholds the
    `worst` windows. `remark` says which ones, where it is not those that the module speaks of."""

    newest: int
    counted: Sequence[Row] | None
    engines: EngineUse
    worst: Mapping[str, Observed | None]
    remark: str = ""


async def measured(store: Store, record: TaskRecord, windows: LiveWindows) -> Measured | None:
    """None while there is nothing to judge by."""
    spec, plan, task = record.spec, record.plan, record.spec.id
    span = await store.series_span(task)
    ended = record.status is Status.ENDED
    if plan is None or (span is None and not ended):
        return None
    stretch = stretch_of(plan.started_at, plan.duration_s, spec.warm_up_s)
    newest = span.newest_label if span is not None else stretch.begin - 1
    stored, kept = record.outcome.get("engines"), worst_of(record.outcome.get("windows", {}))
    if ended and stored:
        engines = EngineUse(**stored)
    else:
        first = max(stretch.begin, 0 if ended else newest - NOW_S)
        engines = await store.engine_use(task, first=first, last=newest if ended else newest - 1)
    now = kept if ended else await windows.worst(record, stretch, newest)
    return Measured(
        newest=newest,
        counted=await store.counted(task) if spec.warm_up_s else None,
        engines=engines,
        worst=kept if now is None else now,
        remark=_MANY if now is None else "",
    )


def verdict_of(
    record: TaskRecord,
    rows: Sequence[Row],
    response: Distribution,
    service: Distribution,
    found: Measured | None,
    requests: Mapping[str, RequestFigures] | None = None,
) -> VerdictView:
    """Works on histograms: not to be called on a loop."""
    plan, spec = record.plan, record.spec
    final = record.status is Status.ENDED
    if plan is None or found is None:
        never = False if final else None  # what has not even begun is not passed
        nothing = tuple(Judgement(threshold=one, observed=None, ok=never) for one in spec.thresholds)
        passed = never if nothing else None
        return _view(Verdict(passed=passed, valid=True, judgements=nothing, findings=()), 0.0)
    totals = totals_of(
        plan,
        spec.warm_up_s,
        rows,
        counted=found.counted,
        newest=float("inf") if final and plan.duration_s is not None else found.newest,
        response=response,
        service=service,
        requests=asked_for(spec.thresholds, requests or {}),
    )
    evidence = Evidence(
        totals=totals,
        engines=found.engines,
        back_to_back=bool(spec.users) and not spec.think_time_s,
        lost=tuple(dict.fromkeys(holder.node for holder in plan.lost)),
        loop_lag_s=record.outcome.get("loop_lag_s"),
        clock_skew_s=record.outcome.get("clock_skew_s"),
    )
    judged = judge(spec.thresholds, totals, found.worst, final=final)
    return _view(verdict(judged, evidence, record.outcome.get("aborted")), plan.started_at, found.remark)


def _view(found: Verdict, started_at: float, remark: str = "") -> VerdictView:
    aborted: Any = found.aborted
    return VerdictView(
        passed=found.passed,
        valid=found.valid,
        saturated=found.saturated,
        thresholds=[_threshold(one, started_at) for one in found.judgements],
        remark=remark,
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
