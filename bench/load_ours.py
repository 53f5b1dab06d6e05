"""Ours: one engine behind the real pool and its control protocol, with a check, both histograms and the ledger on.

    python -m bench.load_ours URL CORE SECONDS --rate 1000 | --users 64

This process is the node's side: it reads, decodes and merges a report a second. The engine is its child, pinned to CORE.
Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any, Final

import psutil
import trio
import trio.testing

from ha_stress.engines import histogram
from ha_stress.engines.pool import EnginePool, EngineReport
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.ledger import add
from ha_stress.tasks.schedule import Part, TaskShare
from ha_stress.tasks.spec import HttpRequest

LEAD_S: Final = 0.2
START_TIMEOUT_S: Final = 15.0
#: How long beyond its schedule an engine that has fallen behind may go on.
END_TIMEOUT_S: Final = 60.0
IN_FLIGHT_MAX: Final = 4_096
CHECK: Final = "status == 200"
PERCENTILES: Final = (50.0, 99.0, 99.9)


def open_part(rate: float, seconds: float) -> Part:
    return Part(revision=1, at_s=0.0, rate=rate, modulus=1, slots=(0,), limit=round(rate * seconds))


def closed_part(users: int, seconds: float) -> Part:
    slots = tuple(range(users))
    return Part(revision=1, at_s=0.0, rate=0.0, modulus=users, slots=slots, limit=0, users=users, until_s=seconds)


async def measure(url: str, core: int, seconds: float, part: Part) -> dict[str, Any]:
    """Run `part` on one engine; the books, and what the engine and this process spent of a processor."""
    reports: list[EngineReport] = []
    pool = EnginePool(1, trio.lowlevel.checkpoint)

    async def collect() -> None:
        async for report in pool.reports:
            reports.append(report)  # noqa: PERF401  the channel never ends

    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        nursery.start_soon(collect)
        await pool.apply([_share(url, open_part(1.0, 0.0), "warm")])
        await _until_idle(pool, START_TIMEOUT_S)
        engine = psutil.Process(pool.pids[0])
        engine.cpu_affinity([core])
        share = _share(url, part, "bench")
        await pool.apply([share])
        await _until_idle(pool, LEAD_S + seconds + END_TIMEOUT_S)
        memory_mb = engine.memory_info().rss / 1e6
        await trio.testing.wait_all_tasks_blocked()  # the last reports came before the news that nothing is left
        nursery.cancel_scope.cancel()
    return _figures(reports) | {"memory_mb": round(memory_mb, 1)}


def _share(url: str, part: Part, task: str) -> TaskShare:
    return TaskShare(
        task=task,
        request=HttpRequest(url=url),
        in_flight_max=IN_FLIGHT_MAX,
        started_at=time.time() + LEAD_S,
        parts=(part,),
        checks=(parse_check(CHECK),),
    )


async def _until_idle(pool: EnginePool, within_s: float) -> None:
    """Woken by the engine: a poll would take time from the server, whose core this is."""
    with trio.fail_after(within_s):
        while not pool.idle:
            changed = trio.Event()
            pool.on_idle = changed.set
            await changed.wait()


def _figures(reports: list[EngineReport]) -> dict[str, Any]:
    """The merged reports."""
    books = add(report.counters for report in reports)
    response = histogram.summary(histogram.merge(report.response_us for report in reports), PERCENTILES)
    service = histogram.summary(histogram.merge(report.service_us for report in reports), PERCENTILES)
    return {
        "intended": books.intended,
        "started": books.started,
        "completed": books.completed,
        "dropped": books.dropped,
        "late": books.late,
        "wrong": books.wrong,
        "failed": dict(books.failed),
        "p50_us": response.percentiles_us[50.0],
        "p99_us": response.percentiles_us[99.0],
        "max_us": response.max_us,
        "service_p50_us": service.percentiles_us[50.0],
        "service_p99_us": service.percentiles_us[99.0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load_ours", description="One engine under the bench.")
    parser.add_argument("url")
    parser.add_argument("core", type=int)
    parser.add_argument("seconds", type=float)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--rate", type=float)
    model.add_argument("--users", type=int)
    options = parser.parse_args()
    seconds = options.seconds
    part = open_part(options.rate, seconds) if options.rate else closed_part(options.users, seconds)
    print(json.dumps(trio.run(measure, options.url, options.core, seconds, part)))


if __name__ == "__main__":
    main()
