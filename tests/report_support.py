"""Runs for the tests of reports: made up second by second, from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from math import exp
from typing import Any

from ha_stress.engines.histogram import Recorder
from ha_stress.report.run import NUMBERS, Run, Stretch, latency
from ha_stress.tasks.distribution import distribution

BEGAN = 1_800_000_000.25


def blob_of(values_us: list[int]) -> bytes:
    recorder = Recorder()
    for value in values_us:
        recorder.record(value)
    return recorder.drain()


def stretch(
    second: int,
    response_us: list[int],
    *,
    sent: Mapping[str, int] | None = None,
    failed: int = 0,
    width_s: int = 1,
    service: bool = True,
) -> Stretch:
    """One second: service time is a tenth of response time."""
    service_us = [max(1, value // 10) for value in response_us] if service else []
    blobs = blob_of(response_us), blob_of(service_us)
    started = sum(sent.values()) if sent is not None else len(response_us) + failed
    numbers = {"intended": started, "started": started, "completed": len(response_us), "failed": failed, "dropped": 0}
    return Stretch(
        second=second,
        width_s=width_s,
        numbers=dict.fromkeys(NUMBERS, 0) | numbers | {"bytes_in": 100 * started},
        named={
            "workers": dict(sent or {"n1": started}),
            "statuses": {"200": len(response_us)},
            "failures": {"reset": failed} if failed else {},
            "checks": {},
        },
        response=latency(distribution([blobs[0]])),
        service=latency(distribution([blobs[1]])),
        response_us=blobs[0],
        service_us=blobs[1],
    )


def task_of(stretches: list[Stretch], **more: Any) -> dict[str, Any]:
    """What the API says of such a task."""
    total = {name: sum(one.numbers.get(name, 0) for one in stretches) for name in stretches[0].numbers}
    uncovered = more.pop("uncovered", 0)
    found = distribution(one.response_us for one in stretches)
    seen = latency(found)
    figures = None if seen is None else {name: getattr(seen, name) for name in seen.__slots__}
    books = {"planned": None, "uncovered": uncovered, "balanced": True, "retried": 0, "connected": 1, "bytes_out": 0}
    share = {"node": "n1", "incarnation": "i1", "rate": 100.0, "lost": False}
    plan = [{"number": 1, "at_s": 0.0, "rate": 100.0, "limit": None, "why": "the task began", "shares": [share]}]
    return {
        "id": "t-1",
        "name": "shop",
        "url": "http://127.0.0.1:8080/items?q=<b>",
        "method": "GET",
        "headers": [],
        "body_base64": "",
        "timeout_s": 10.0,
        "rate": 100.0,
        "duration_s": float(len(stretches)),
        "in_flight_max": 1024,
        "status": "ended",
        "created_at": BEGAN - 1,
        "started_at": BEGAN,
        "ended_at": BEGAN + len(stretches),
        "plan": plan,
        "books": books | total | {"intended": total["intended"] + uncovered},
        "failures": {},
        "statuses": {"200": total["completed"]},
        "latency": {"response": figures, "service": figures},
    } | more


def drifting(
    rng: random.Random,
    *,
    seconds: int = 30,
    per_s: int = 60,
    factor: float = 1.0,
    drift: float = 0.5,
    failed: Callable[[], int] = lambda: 0,
) -> Run:
    """Log-normal latencies around a level that changes from second to second; `drift` is the autocorrelation of that."""
    level, found = rng.gauss(0, 0.1), []
    for number in range(seconds + 1):
        level = drift * level + rng.gauss(0, 0.1) * (1 - drift * drift) ** 0.5
        values = [int(factor * 1000 * exp(rng.gauss(0, 0.5) + level)) for _ in range(per_s)]
        found.append(stretch(int(BEGAN) + number, values, failed=failed(), service=False))
    return Run(task=task_of(found, plan=[]), stretches=tuple(found), made_at=BEGAN + 100)
