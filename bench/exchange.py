"""What an exchange engine can do: `python -m bench.exchange [--json] [--seconds S]`.

One engine on one core, the server (plain Python, so it is the slower one for most of these) on the other; 16 users without
think time ask as fast as they are answered. What counts is the processor time of the engine for each arrival: it says how
many a core could do with a faster server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import psutil
import trio

from bench.command import real
from bench.load_server import cores
from bench.one_engine import one_engine, rate_part, users_part
from ha_stress.engines import histogram
from ha_stress.tasks.ledger import add
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.spec import HttpRequest

USERS: Final = 16
LEAD_S: Final = 1.0

NOTHING: Final = "async def scenario(user):\n    pass\n"
ONE_GET: Final = (
    "async def scenario(user):\n    user.check((await user.http.get('/')).status_code == 200, 'status is 200')\n"
)


def cases(ports: dict[str, int]) -> dict[str, tuple[HttpRequest, str]]:
    """What is measured: a request, or a scenario over it."""
    web = HttpRequest(url=f"http://127.0.0.1:{ports['web']}/")
    return {
        "tcp": (HttpRequest(url=f"tcp://127.0.0.1:{ports['tcp']}", body=b"hello", expect="llo"), ""),
        "websocket": (HttpRequest(url=f"ws://127.0.0.1:{ports['ws']}/", body=b"hello", expect="llo"), ""),
        "http2": (HttpRequest(url=web.url, http2=True), ""),
        "empty scenario": (web, NOTHING),
        "scenario of one GET": (web, ONE_GET),
    }


async def measure(name: str, request: HttpRequest, source: str, seconds: float, core: int) -> dict[str, Any]:
    """One engine on `core`; its first second is left out, because it loads libraries then."""
    share = TaskShare(
        task=name,
        request=request,
        in_flight_max=1024,
        started_at=0.0,
        parts=(rate_part(1.0, 0.0),),
        scenario=Scenario(name="bench.py", source=source) if source else None,
        warm_up_s=1.0,
    )
    async with one_engine(core, replace(share, task="warm")) as engine:
        users = replace(share, started_at=time.time() + LEAD_S, parts=(users_part(USERS, seconds),))
        await engine.run(users, seconds * 3 + 10)
    reports = engine.reports
    books = add(report.counters for report in reports)
    whole = add(report.counters for report in reports[1:-1])
    service_us = histogram.percentiles(histogram.merge(r.service_us for r in reports), [50, 99])
    cpu_us = whole.cpu_us / max(whole.completed, 1)
    return {
        "case": name,
        "completed": books.completed,
        "failed": dict(books.failed),
        "per_s": round(books.completed / seconds),
        "cpu_us": round(cpu_us, 1),
        "per_s_and_core": round(1e6 / cpu_us) if cpu_us else 0,
        "p50_us": service_us[50],
        "p99_us": service_us[99],
    }


@contextlib.contextmanager
def server(core: int) -> Iterator[dict[str, int]]:
    command = [sys.executable, "-m", "bench.exchange_server"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        ports: dict[str, int] = json.loads(process.stdout.readline())
        psutil.Process(process.pid).cpu_affinity([core])
        yield ports
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


async def bench(seconds: float) -> list[dict[str, Any]]:
    server_core, engine_core = cores()
    os.sched_setaffinity(0, {server_core})
    with server(server_core) as ports:
        found = [await measure(name, *work, seconds, engine_core) for name, work in cases(ports).items()]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.exchange", description="Arrivals a second of one engine.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=real(0.5, 600), default=6.0)
    options = parser.parse_args()
    found = trio.run(bench, options.seconds)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'':22}{'per s':>8}{'cpu us':>9}{'per s and core':>16}{'p50 us':>9}{'p99 us':>9}  failed")
    for row in found:
        numbers = f"{row['per_s']:8}{row['cpu_us']:9}{row['per_s_and_core']:16}{row['p50_us']:9}{row['p99_us']:9}"
        print(f"{row['case']:22}{numbers}  {row['failed'] or ''}")


if __name__ == "__main__":
    main()
