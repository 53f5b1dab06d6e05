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

import trio

from bench.one_engine import one_engine, rate_part, users_part
from ha_stress.engines import histogram
from ha_stress.engines.pool import EngineReport
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.ledger import add
from ha_stress.tasks.schedule import Part, TaskShare
from ha_stress.tasks.spec import HttpRequest

LEAD_S: Final = 0.2
#: How long beyond its schedule an engine that has fallen behind may go on.
END_TIMEOUT_S: Final = 60.0
IN_FLIGHT_MAX: Final = 4_096
CHECK: Final = "status == 200"
PERCENTILES: Final = (50.0, 99.0, 99.9)


async def measure(url: str, core: int, seconds: float, part: Part) -> dict[str, Any]:
    """Run `part` on one engine; the books, and what the engine holds in memory at the end."""
    async with one_engine(core, _share(url, rate_part(1.0, 0.0), "warm")) as engine:
        await engine.run(_share(url, part, "bench"), LEAD_S + seconds + END_TIMEOUT_S)
        memory_mb = engine.process.memory_info().rss / 1e6
    return _figures(engine.reports) | {"memory_mb": round(memory_mb, 1)}


def _share(url: str, part: Part, task: str) -> TaskShare:
    return TaskShare(
        task=task,
        request=HttpRequest(url=url),
        in_flight_max=IN_FLIGHT_MAX,
        started_at=time.time() + LEAD_S,
        parts=(part,),
        checks=(parse_check(CHECK),),
    )


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
    part = rate_part(options.rate, seconds) if options.rate else users_part(options.users, seconds)
    print(json.dumps(trio.run(measure, options.url, options.core, seconds, part)))


if __name__ == "__main__":
    main()
