"""/tasks/{id}/series: the course of a task, for plots and reports.

The node that answers may be the master: frames are read in pages, their histograms are added in one thread at a time, and
an answer ends after so many frames, saying where to go on.
"""

from __future__ import annotations

from typing import Annotated, Final

import trio
from fastapi import APIRouter, Query, Response

from ha_stress.api.models import Latency
from ha_stress.api.models_report import Series, SeriesBucket
from ha_stress.api.port import ApiNode
from ha_stress.api.problems import RESPONSES
from ha_stress.base.limits import SERIES_BUCKETS_MAX, SERIES_FRAMES_MAX, SERIES_HISTOGRAMS_MAX, SERIES_PAGE_FRAMES
from ha_stress.store.series import Bucket, Buckets, Place, Span, before
from ha_stress.store.store import Store
from ha_stress.tasks.distribution import Sum
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
            return _answer(nothing)
        width = width_s or -(-(span.last - span.first + 1) // buckets)
        most = min(buckets, SERIES_HISTOGRAMS_MAX) if histograms else buckets
        found, next_after = await _read(node.store, adding, task_id, span, after, width, most)

        def shown() -> Response:
            views = [_view(one, histograms) for one in found]
            ends = {"first": span.first, "last": span.last, "next_after": next_after}
            return _answer(Series(task=task_id, width_s=width, **ends, buckets=views))

        # Percentiles, histograms and two megabytes of JSON: not on the loop that renews the lease.
        return await trio.to_thread.run_sync(shown, limiter=adding)

    return router


def _answer(series: Series) -> Response:
    return Response(series.model_dump_json(), media_type="application/json")


async def _read(
    store: Store, adding: trio.CapacityLimiter, task_id: str, span: Span, after: int, width_s: int, most: int
) -> tuple[list[Bucket], int | None]:
    """At most `most` whole buckets that begin after `after`, and after which second there are more (None: there are not).

    Buckets begin at multiples of the width from the task's first frame, so that answers follow each other without a seam.
    """
    skipped = max(0, -(-(after + 1 - span.first) // width_s))
    begin, end = span.first + skipped * width_s, span.first + (skipped + most) * width_s
    place: Place = before(begin)
    sums, read = Buckets(span.first, width_s), 0
    while True:
        page = await store.series(task_id, after=place, limit=SERIES_PAGE_FRAMES)
        within = [piece for piece in page if piece.second < end]
        await trio.to_thread.run_sync(sums.add, within, limiter=adding)
        if len(within) < len(page):
            return sums.taken(), end - 1
        if len(page) < SERIES_PAGE_FRAMES:
            return sums.taken(), None
        read += len(page)
        place = page[-1].place
        if read >= SERIES_FRAMES_MAX and len(sums) > 1:
            *whole, cut = sums.taken()
            return whole, cut.second - 1


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
            "response": _latency(bucket.response),
            "service": _latency(bucket.service),
            "response_us": bucket.response.encode().decode("ascii") if histograms else None,
            "service_us": bucket.service.encode().decode("ascii") if histograms else None,
        }
    )


def _latency(total: Sum) -> Latency | None:
    found = total.distribution()
    if not found.total:
        return None
    p50, p90, p99, p999 = (round(found.at(percentile) / 1000, 3) for percentile in (50, 90, 99, 99.9))
    return Latency(
        count=found.total,
        mean_ms=round(found.mean_us / 1000, 3),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=round(found.max_us / 1000, 3),
    )
