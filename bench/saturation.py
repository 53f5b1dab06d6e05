"""Does a cluster that saturates its own machine keep its master? All cores busy with the cluster's own load, for minutes.

    python -m bench.saturation [--minutes 5] [--json]

Three nodes, three sentinels, an embedded Redis and a counting target; `down_after` 1000 ms. The rate is raised until every
core is busy, and then once more. Nothing is killed: each failover is a false one. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis
import trio

from bench.saturation_figures import DOWN_AFTER_S, SATURATED_PERCENT, Load, report_of, table, verdicts
from bench.saturation_watch import CpuMeter, HostMeter, processes_of, watch
from bench.witness import wait_until
from chaos.outside import Outside
from ha_stress.base.config import Timing
from ha_stress.base.errors import HaStressError
from ha_stress.base.ids import new_task_id
from ha_stress.cli import processes
from ha_stress.cli.client import Client
from ha_stress.cli.local import LocalCluster, LocalSpec

FIRST_RATE: Final = 10_000.0
#: Engines that drop more than this part of the rate have more to do than time for it.
DROPPED_PART: Final = 0.05
RATE_FACTOR: Final = 1.5
#: The last step: the machine stays full although the work of a second varies.
SURPLUS: Final = 1.5
#: A change of the rate, and engines that adjust to it, need this long before the cpu says anything.
STEP_S: Final = 2.5
STEPS_MAX: Final = 16
SETTLE_S: Final = 3.0
END_TIMEOUT_S: Final = 60.0


def measure(minutes: float) -> dict[str, Any]:
    timing = Timing(down_after_s=DOWN_AFTER_S)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        local = LocalSpec(data_dir=directory, timing={"down_after_s": str(DOWN_AFTER_S)})
        cluster = stack.enter_context(LocalCluster(local))
        url, target_pid = stack.enter_context(_target(directory))
        client = stack.enter_context(cluster.client())
        outside = Outside(cluster.redis_url, local.cluster)
        stack.callback(outside.client.close)
        task = new_task_id()
        client.create_task({"id": task, "name": "saturation", "url": url, "rate": FIRST_RATE})
        pids = partial(_pids, cluster, target_pid)
        rate = _saturate(client, task, pids)
        time.sleep(SETTLE_S)
        secret = (directory / "secret").read_text().strip()
        say(f"{rate:,.0f} arrivals/s keep every core busy; watching for {minutes:g} minutes")
        before = client.task(task)["books"]
        samples = trio.run(watch, outside, secret, timing, pids(), minutes * 60)
        completed = client.task(task)["books"]["completed"] - before["completed"]
        load = _books(client, task, rate, completed)
    return report_of(samples, load) | {
        "conditions": {
            "down_after_ms": round(DOWN_AFTER_S * 1000),
            "ping_period_ms": round(timing.ping_period_s * 1000),
            "cores": os.cpu_count(),
        }
    }


def _saturate(client: Client, task: str, pids: Callable[[], dict[str, list[int]]]) -> float:
    """Raise the rate until every core is busy and the engines drop arrivals, and once more; the rate that is then asked
    for. (A busy machine alone may be busy with somebody else's work.)"""
    cores = os.cpu_count() or 1
    rate = FIRST_RATE
    for _ in range(STEPS_MAX):
        time.sleep(STEP_S)
        host, ours, before = HostMeter(), CpuMeter(pids()), client.task(task)["books"]["dropped"]
        time.sleep(STEP_S)
        busy, own = host.busy_percent(), 100 * sum(ours.spent_s().values()) / STEP_S / cores
        dropped = (client.task(task)["books"]["dropped"] - before) / STEP_S
        say(
            f"{rate:>9,.0f} arrivals/s, {dropped:,.0f} dropped/s: {busy:.0f} % busy, {own:.0f} % with our own processes"
        )
        if busy >= SATURATED_PERCENT and dropped > DROPPED_PART * rate:
            client.set_rate(task, rate * SURPLUS)
            return rate * SURPLUS
        rate *= RATE_FACTOR
        client.set_rate(task, rate)
    raise HaStressError(f"{rate:,.0f} arrivals/s do not keep every core busy")


def _books(client: Client, task: str, rate: float, completed: int) -> Load:
    """Stop the task and read its books once every arrival is in them."""
    client.stop_task(task)
    wait_until("the task has ended", lambda: client.task(task)["status"] == "ended", END_TIMEOUT_S)
    books = client.task(task)["books"]
    whole = {name: books[name] for name in ("intended", "started", "dropped", "uncovered", "failed")}
    return Load(asked_per_s=rate, completed=completed, **whole)


def _pids(cluster: LocalCluster, target_pid: int) -> dict[str, list[int]]:
    assert cluster.redis is not None
    nodes = [child.pid for child in cluster.nodes.values()]
    return processes_of(nodes, [child.pid for child in cluster.sentinels.values()], cluster.redis.pid, target_pid)


@contextmanager
def _target(directory: Path) -> Iterator[tuple[str, int]]:
    """URL and pid of a counting server of this machine."""
    argv = ["ha_stress.target", "--host", "127.0.0.1", "--port", "0", "--json"]
    child = processes.start("target", "target", argv, directory / "target.log", ready_on_stdout=True)
    guard = processes.guard(child.pid)
    try:
        processes.wait_ready([child], time.monotonic() + 10)
        yield str(child.ready["url"]), child.pid
    finally:
        processes.release(guard)
        child.terminate()
        child.finish(time.monotonic() + 2)


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _minutes(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.01 and 1440")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.saturation", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--minutes", type=_minutes, default=5.0, help="to watch under full load (default 5)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    try:
        report = measure(options.minutes)
    except (HaStressError, redis.RedisError) as error:
        say(f"error: {error}")
        return 1
    if options.json:
        print(json.dumps(report))
    else:
        print(table(report), *verdicts(report), sep="\n")
    return 0 if all(goal["met"] for goal in report["goals"]) else 1


if __name__ == "__main__":
    sys.exit(main())
