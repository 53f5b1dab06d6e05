"""The master's eye on what running tasks measure: about once a second, from what is committed.

    committed frames --> windows and totals (`tasks.judging`) --> breaches (`breach`) --> found --> core: the task stops
    members          --> loop lag, clocks                     --> kept for the verdict

It reads the store alone, so a new master goes on where the old one was. What it finds is persisted by the planning, under
the epoch, before anything follows from it. Histograms are decoded and judged in a thread: the loop renews the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any, Final

import trio

from ha_stress import log
from ha_stress.base.errors import ProtocolError, Unavailable
from ha_stress.cluster.members import NodeInfo
from ha_stress.drivers.interface import NodeServices
from ha_stress.drivers.stress.breach import Breach, breaches, confirmed
from ha_stress.drivers.stress.core import Task
from ha_stress.drivers.stress.intake import Intake
from ha_stress.master.members import holder_of
from ha_stress.store.pages import followed
from ha_stress.tasks.course import Course, course_of, stored_of
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.judging import Observed, Stretch, asked_for, judge, stretch_of, totals_of
from ha_stress.tasks.schedule import Holder, Plan

_log = log.get(__name__)

_PERIOD_S: Final = 1.0
#: How often the state of sliding thresholds is kept for a successor, who reads on from there.
_KEEP_S: Final = 15.0
_SAMPLES_MIN: Final = 3


@dataclass(slots=True, kw_only=True)
class _Watched:
    """`course` is under `lock`, for a look and the end of the task may come together."""

    course: Course
    kept_at: float
    lock: trio.Lock = field(default_factory=trio.Lock)
    suspects: frozenset[Breach] = frozenset()
    lag_s: float = 0.0
    samples: int = 0
    ages_s: dict[Holder, float] = field(default_factory=dict)  # the least age of a node's info, by our clock


class Observer:
    """For one epoch. `found` is what has to be kept in the outcomes of tasks; `on_found` is called when planning shall look.

    `tasks` and `members` are asked each time.
    """

    def __init__(
        self,
        node: NodeServices,
        intake: Intake,
        *,
        tasks: Callable[[], Iterable[Task]],
        members: Callable[[], Iterable[NodeInfo]],
        on_found: Callable[[], None],
    ) -> None:
        self._node = node
        self._intake = intake
        self._tasks, self._members, self._on_found = tasks, members, on_found
        self._watched: dict[str, _Watched] = {}
        self._threads = trio.CapacityLimiter(1)
        self.found: dict[str, Mapping[str, Any]] = {}

    async def run(self) -> None:
        while True:
            await self._node.wait_may_act()
            tasks, infos = list(self._tasks()), self._infos()
            for ended in (self._watched.keys() | self.found.keys()) - {task.spec.id for task in tasks}:
                self.forget(ended)
            for task in tasks:
                if task.plan is not None:
                    try:
                        await self._look(task, task.plan, infos)
                    except (Unavailable, ProtocolError) as error:
                        _log.warning("thresholds wait", task=task.spec.id, problem=str(error))
            await trio.sleep(_PERIOD_S)

    def forget(self, task: str) -> None:
        self._watched.pop(task, None)
        self.found.pop(task, None)

    async def finish(self, task: Task) -> dict[str, Any]:
        """The outcome of a task whose books are closed."""
        if task.plan is None:
            return dict(task.outcome)
        watched, store = self._watch(task, task.plan), self._node.store
        stretch = stretch_of(task.plan.started_at, task.plan.duration_s, task.spec.warm_up_s)
        async with watched.lock:
            span = await store.series_span(task.spec.id)
            newest = span.newest_label if span is not None else stretch.begin - 1
            seen = {"first": stretch.begin, "last": watched.course.until}
            if watched.course.thresholds and await store.frame_count(task.spec.id, **seen) != watched.course.frames:
                watched.course = course_of(task.spec.thresholds, stretch.begin, {})  # some came after they were settled
            await self._follow(watched, task, stretch, newest, final=True)
            use = await store.engine_use(task.spec.id, first=stretch.begin, last=newest)
            self._sample(watched, task.plan, self._infos())
            observed = {"loop_lag_s": watched.lag_s, "clock_skew_s": self._skew_s(watched), "engines": asdict(use)}
            return {**task.outcome, **observed, "windows": stored_of(watched.course)}

    def _watch(self, task: Task, plan: Plan) -> _Watched:
        known = self._watched.get(task.spec.id)
        if known is None:
            begin = stretch_of(plan.started_at, plan.duration_s, task.spec.warm_up_s).begin
            course = course_of(task.spec.thresholds, begin, task.outcome.get("windows", {}))
            known = _Watched(course=course, kept_at=self._node.clock.now())
            self._watched[task.spec.id] = known
        return known

    async def _look(self, task: Task, plan: Plan, infos: Mapping[Holder, NodeInfo]) -> None:
        watched = self._watch(task, plan)
        self._sample(watched, plan, infos)
        may_abort = any(one.abort for one in task.spec.thresholds)
        if "aborted" in task.outcome or not (watched.course.thresholds or may_abort):
            return
        if not self._intake.drained:  # some frames of the newest seconds are known to be missing
            return
        async with watched.lock:
            span = await self._node.store.series_span(task.spec.id)
            if span is None or self._watched.get(task.spec.id) is not watched:  # its books were closed meanwhile
                return
            stretch = stretch_of(plan.started_at, plan.duration_s, task.spec.warm_up_s)
            recent = await self._follow(watched, task, stretch, span.newest_label)
            if may_abort:
                await self._judge(watched, task, plan, stretch, span.newest_label, recent)
            if watched.course.thresholds and self._node.clock.now() >= watched.kept_at + _KEEP_S:
                watched.kept_at = self._node.clock.now()
                self._keep(task.spec.id, {"windows": stored_of(watched.course)})

    async def _follow(
        self, watched: _Watched, task: Task, stretch: Stretch, newest: int, *, final: bool = False
    ) -> Mapping[str, Sequence[Observed]]:
        """The windows that are not settled yet."""
        if not watched.course.thresholds:
            return {}
        where = self._node.store, task.spec.id, watched.course, stretch
        found = await followed(*where, newest=newest, final=final, threads=self._threads)
        assert found is not None, "how many frames there are does not matter here"
        return found

    async def _judge(
        self,
        watched: _Watched,
        task: Task,
        plan: Plan,
        stretch: Stretch,
        newest: int,
        recent: Mapping[str, Sequence[Observed]],
    ) -> None:
        spec, store = task.spec, self._node.store
        whole = [one for one in spec.thresholds if one.abort and one.window_s is None]
        rows = self._intake.rows.get(spec.id, ())
        blobs = await store.latencies(spec.id) if whole else (b"", b"")
        requests = await store.requests(spec.id) if any(one.request for one in whole) else {}
        counted = await store.counted(spec.id) if spec.warm_up_s and whole else None

        def broken() -> dict[Breach, dict[str, Any]]:
            response, service = (distribution([blob]) for blob in blobs)
            totals = totals_of(
                plan,
                spec.warm_up_s,
                rows,
                counted=counted,
                newest=newest,
                response=response,
                service=service,
                requests=asked_for(whole, requests),
            )
            # Of the newest second frames are still to come, for which no rate must be called too low.
            before = replace(totals, measured_s=totals.measured_s - 1)
            judged = [judge([one], before if one.floor else totals, {}, final=False)[0] for one in whole]
            begun = {"started_at": plan.started_at, "measured_s": totals.measured_s}
            return breaches(judged, recent, spec.thresholds, newest=newest, **begun)

        seen = await trio.to_thread.run_sync(broken, limiter=self._threads, abandon_on_cancel=True)
        sure = confirmed(seen, watched.suspects, newest=newest)
        watched.suspects = frozenset(seen)
        if sure:
            said = {"at": self._node.clock.wall(), "after_s": round(newest - plan.started_at, 3)}
            self._keep(spec.id, {"aborted": sure[0] | said, "windows": stored_of(watched.course)})
            self._on_found()

    def _keep(self, task: str, news: Mapping[str, Any]) -> None:
        self.found[task] = {**self.found.get(task, {}), **news}

    def _infos(self) -> dict[Holder, NodeInfo]:
        return {holder_of(info): info for info in self._members()}

    def _sample(self, watched: _Watched, plan: Plan, infos: Mapping[Holder, NodeInfo]) -> None:
        """Lag and clocks of those who hold shares, as they last said."""
        wall = self._node.clock.wall()
        watched.samples += 1
        for holder in plan.newest.holders:
            info = infos.get(holder)
            if info is not None:
                watched.lag_s = max(watched.lag_s, info.loop_lag_s)
                watched.ages_s[holder] = min(wall - info.sent_at, watched.ages_s.get(holder, float("inf")))

    def _skew_s(self, watched: _Watched) -> float:
        """How far the clock of a node was from ours: info that comes from the future, or was old in every sample. One or
        two samples say nothing of the latter: a busy machine is late now and then."""
        period_s = self._node.config.timing.info_period_s if watched.samples >= _SAMPLES_MIN else inf
        skews = (-age if age < 0 else max(0.0, age - period_s) for age in watched.ages_s.values())
        return round(max(skews, default=0.0), 3)
