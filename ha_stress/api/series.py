"""/tasks/{id}/series: the course of a task, for plots and reports.

The node that answers may be the master: frames are read in pages, their histograms are added in one thread at a time, and
an answer ends after so many frames, saying where to go on.
"""

from __future__ import annotations

from typing import Annotated, Final

import trio
from fastapi import APIRouter, Query, Response

from ha_stress.api.answers import answered
from ha_stress.api.latency import latency_of
from ha_stress.api.models_report import Series, SeriesBucket
from ha_stress.api.port import ApiNode
from ha_stress.api.problems import RESPONSES
from ha_stress.base.limits import SERIES_BUCKETS_MAX, SERIES_FRAMES_MAX, SERIES_HISTOGRAMS_MAX
from ha_stress.store.pages import Pages
from ha_stress.store.series import Bucket, Buckets, Span, before
from ha_stress.store.store import Store
from ha_stress.tasks.ledger import COUNTERS

_SECOND_MAX: Final = 1 << 40
_DAY_S: Final = 86_400


def router_of(node: ApiNode) -> APIRouter:
    router = APIRouter(prefix="/tasks", tags=["tasks"], responses=RESPONSES)
    adding = trio.CapacityLimiter(1)

    @router.get("/{task_id}/series", response_model=Series)
    async def series(
        task_id: str,
        buckets: Annotated[int, Query(ge=1, le=SERIES_BUCKETS_MAX, description="At most so many")] = SERIES_BUCKETS_MAX,
        width_s: Annotated[
            int | None, Query(ge=1, le=_DAY_S, description="Seconds of each; left out: as few as fit the whole task")
        ] = None,
        after: Annotated[int, Query(ge=-1, le=_SECOND_MAX, description="Only Unix seconds after this one")] = -1,
        histograms: Annotated[bool, Query(description="With the histograms themselves")] = False,
    ) -> Response:
        """Counters, requests per worker and latencies over the time of a task, in equal stretches."""
        await node.store.task(task_id)  # NotFound is an answer, an empty series another
        span = await node.store.series_span(task_id)
        if span is None:
            nothing = Series(task=task_id, width_s=width_s or 1, first=None, last=None, next_after=None, buckets=[])
            return await answered(lambda: nothing)
        width = width_s or -(-(span.last - span.first + 1) // buckets)
        most = min(buckets, SERIES_HISTOGRAMS_MAX) if histograms else buckets
        found, next_after = await _read(node.store, adding, task_id, span, after, width, most)

        def shown() -> Series:
            views = [_view(one, histograms) for one in found]
            ends = {"first": span.first, "last": span.last, "next_after": next_after}
            return Series(task=task_id, width_s=width, **ends, buckets=views)

        return await answered(shown)

    return router


async def _read(
    store: Store, adding: trio.CapacityLimiter, task_id: str, span: Span, after: int, width_s: int, most: int
) -> tuple[list[Bucket], int | None]:
    """At most `most` whole buckets that begin after `after`, and after which second there are more (None: there are not).

    Buckets begin at multiples of the width from the task's first frame, so that answers follow each other without a seam.
    """
    skipped = max(0, -(-(after + 1 - span.first) // width_s))
    begin, end = span.first + skipped * width_s, span.first + (skipped + most) * width_s
    sums, pages = Buckets(span.first, width_s), Pages(store, task_id, before(begin), before(end))
    while not pages.over:
        await trio.to_thread.run_sync(sums.add, await pages.next(), limiter=adding)
        if pages.read >= SERIES_FRAMES_MAX and len(sums) > 1 and not pages.over:
            *whole, cut = sums.taken()
            return whole, cut.second - 1
    return sums.taken(), end - 1 if end <= span.last else None


def _view(bucket: Bucket, histograms: bool) -> SeriesBucket:
    counters = bucket.counters
    numbers = {name: getattr(counters, name) for name in COUNTERS}
    return SeriesBucket.model_validate(
        numbers
        | {
            "second": bucket.second,
            "failed": counters.failed_total,
            "failures": dict(counters.failed),
            "statuses": dict(counters.statuses),
            "checks": dict(counters.checks),
            "workers": dict(bucket.started),
            "response": latency_of(bucket.response.distribution()),
            "service": latency_of(bucket.service.distribution()),
            "response_us": bucket.response.encode().decode("ascii") if histograms else None,
            "service_us": bucket.service.encode().decode("ascii") if histograms else None,
        }
    )
