"""What one engine on one core can do: `python -m bench.engine [--json] [--rate N] [--seconds S]`.

nginx (65-byte body, one worker) runs on one core and one engine on the other; this process, which only reads a report
a second, shares nginx's core. Two measurements, both open loop over loopback, keep-alive:

    paced      the rate asked for: achieved, latencies, late, dropped, cpu of the engine
    maximum    rates are raised until the engine falls behind (achieved < 99 %, or anything dropped); each rate has
               ATTEMPTS tries, since other work on the machine can only make it slower

Without nginx our own counting target takes its place, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any, Final

import trio

from bench.command import real
from bench.load_server import any_server, cores
from bench.one_engine import one_engine, rate_part
from ha_stress.engines import histogram
from ha_stress.tasks.ledger import add
from ha_stress.tasks.schedule import Part, TaskShare
from ha_stress.tasks.spec import HttpRequest

LEAD_S: Final = 0.5
ATTEMPTS: Final = 3
STEPS: Final = (20_000, 40_000, 60_000, 80_000, 100_000, 120_000, 140_000, 160_000, 180_000, 200_000)


async def measure(url: str, rate: float, seconds: float, core: int) -> dict[str, Any]:
    """One engine on `core`, asked for `rate`."""
    async with one_engine(core, _share(url, rate_part(1.0, 0.0))) as engine:
        before = engine.process.cpu_times()
        share = _share(url, rate_part(rate, seconds))
        await engine.run(share, seconds * 5 + 10)
        elapsed_s = time.time() - share.started_at
        after = engine.process.cpu_times()
        memory_mb = engine.process.memory_info().rss / 1e6
    reports = engine.reports
    books = add(report.counters for report in reports)
    cpu_s = after.user + after.system - before.user - before.system
    return {
        "asked": rate,
        "achieved": round(books.completed / max(elapsed_s, seconds)),
        "started": books.started,
        "completed": books.completed,
        "dropped": books.dropped,
        "late": books.late,
        "failed": dict(books.failed),
        "response_us": histogram.percentiles(histogram.merge(r.response_us for r in reports), [50, 99, 99.9]),
        "service_us": histogram.percentiles(histogram.merge(r.service_us for r in reports), [50, 99, 99.9]),
        "cpu_percent": round(100 * cpu_s / elapsed_s, 1),
        "cpu_us_per_request": round(1e6 * cpu_s / max(books.completed, 1), 2),
        "memory_mb": round(memory_mb, 1),
    }


def _share(url: str, part: Part) -> TaskShare:
    return TaskShare(
        task=f"bench-{part.limit}",
        request=HttpRequest(url=url),
        in_flight_max=1024,
        started_at=time.time() + LEAD_S,
        parts=(part,),
    )


def _kept(step: dict[str, Any]) -> bool:
    return bool(step["achieved"] >= 0.99 * step["asked"] and not step["dropped"])


async def bench(rate: float, seconds: float) -> dict[str, Any]:
    count = len(os.sched_getaffinity(0))
    server_core, engine_core = cores()
    os.sched_setaffinity(0, {server_core})
    with any_server(server_core) as (name, url):
        paced = [await measure(url, one, seconds, engine_core) for one in sorted({1_000.0, rate})]
        steps = []
        for step in STEPS:
            for _ in range(ATTEMPTS):
                steps.append(await measure(url, step, seconds, engine_core))
                if _kept(steps[-1]):
                    break
            else:
                break
    kept = [step["achieved"] for step in steps if _kept(step)]
    return {
        "server": name,
        "cores": count,
        "shared_core": engine_core == server_core,
        "paced": paced,
        "steps": steps,
        "paced_maximum": max(kept, default=0),
        "maximum": max(step["achieved"] for step in steps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description="Requests per second of one engine.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rate", type=real(1, 10_000_000), default=20_000.0)
    parser.add_argument("--seconds", type=real(0.5, 600), default=5.0)
    options = parser.parse_args()
    found = trio.run(bench, options.rate, options.seconds)
    if options.json:
        print(json.dumps(found))
        return
    if found["server"] != "nginx":
        print("nginx is not installed: measured against our own target, which is slower")
    if found["shared_core"]:
        print("only one core: engine and server share it")
    for title, rows in (("paced", found["paced"]), ("maximum", found["steps"])):
        print(f"\n{title}: asked  achieved  late  dropped  response p50/p99/p99.9 us  cpu  cpu a request")
        for row in rows:
            latencies = "/".join(str(value) for value in row["response_us"].values())
            print(
                f"{row['asked']:>14,.0f} {row['achieved']:>9,} {row['late']:>5} {row['dropped']:>8} {latencies:>27}"
                f" {row['cpu_percent']:>4.0f}% {row['cpu_us_per_request']:>8} us"
            )
    print(f"\n{found['paced_maximum']:,} requests/s kept on schedule, {found['maximum']:,} at most, one core")


if __name__ == "__main__":
    main()
