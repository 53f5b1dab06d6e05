"""Does a cluster that saturates its own machine keep its master? All cores busy with the cluster's own load, for minutes.

    python -m bench.saturation [--minutes 5] [--json]

Three nodes, three sentinels, an embedded Redis and a counting target; `down_after` 1000 ms. The rate is raised until every
core is busy, and then once more. Nothing is killed: each failover is a false one. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from bench.command import carry_out, parser_of, real, say
from bench.saturation_figures import DOWN_AFTER_S, SATURATED_PERCENT, Load, report_of, table, verdicts
from bench.saturation_watch import CpuMeter, HostMeter, processes_of, watch
from bench.witness import wait_until
from chaos.outside import Outside
from ha_stress.base.config import Timing
from ha_stress.base.errors import HaStressError, Unavailable
from ha_stress.base.ids import new_task_id
from ha_stress.cli import processes
from ha_stress.cli.client import Client
from ha_stress.cli.local import LocalCluster, LocalSpec

FIRST_RATE: Final = 10_000.0
#: Engines that drop more than this part of the rate have more to do than time for it.
DROPPED_PART: Final = 0.05
RATE_FACTOR: Final = 1.5
#: Far above what any machine sends with one target.
RATE_END: Final = 2_000_000.0
NODES: Final = 3
#: A change of the rate, and engines that adjust to it, need this long before the cpu says anything.
STEP_S: Final = 2.5
STEPS_MAX: Final = 16
SETTLE_S: Final = 3.0
END_TIMEOUT_S: Final = 60.0


def measure(minutes: float) -> dict[str, Any]:
    timing = Timing(down_after_s=DOWN_AFTER_S)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        local = LocalSpec(
            data_dir=directory,
            nodes=NODES,
            engines=math.ceil((os.cpu_count() or 1) / NODES),  # an engine fills at most one core
            timing={"down_after_s": str(DOWN_AFTER_S)},
        )
        cluster = stack.enter_context(LocalCluster(local))
        url, target_pid = stack.enter_context(_target(directory))
        client = stack.enter_context(cluster.client())
        outside = Outside(cluster.redis_url, local.cluster)
        stack.callback(outside.client.close)
        pressure = Pressure(client, url)
        pids = partial(_pids, cluster, target_pid)
        pressure.fill(pids)
        time.sleep(SETTLE_S)
        secret = (directory / "secret").read_text().strip()
        say(f"{pressure.rate:,.0f} arrivals/s keep every core busy; watching for {minutes:g} minutes")
        before = pressure.books()["completed"]
        samples = trio.run(watch, outside, secret, timing, pids(), minutes * 60, pressure.more)
        load = pressure.end(pressure.books()["completed"] - before)
    return report_of(samples, load) | {
        "conditions": {
            "down_after_ms": round(DOWN_AFTER_S * 1000),
            "ping_period_ms": round(timing.ping_period_s * 1000),
            "cores": os.cpu_count(),
        }
    }


class Pressure:
    """The load, and how it is raised: `rate` is what is asked for now."""

    def __init__(self, client: Client, url: str) -> None:
        self.task = new_task_id()
        self.rate = FIRST_RATE
        self._client = client
        client.create_task({"id": self.task, "name": "saturation", "url": url, "rate": self.rate})

    def more(self) -> None:
        """A node that does not answer now is asked again when this is called again."""
        rate = min(self.rate * RATE_FACTOR, RATE_END)
        with suppress(Unavailable):
            self._client.set_rate(self.task, rate)
            self.rate = rate

    def books(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client.task(self.task)["books"]
        return found

    def fill(self, pids: Callable[[], dict[str, list[int]]]) -> None:
        """Raise the rate until every core is busy and the engines drop arrivals, and once more. (A busy machine alone may
        be busy with somebody else's work.)"""
        cores = os.cpu_count() or 1
        for _ in range(STEPS_MAX):
            time.sleep(STEP_S)
            host, ours, before = HostMeter(), CpuMeter(pids()), self.books()["dropped"]
            time.sleep(STEP_S)
            busy, own = host.busy_percent(), 100 * sum(ours.spent_s().values()) / STEP_S / cores
            dropped = (self.books()["dropped"] - before) / STEP_S
            say(f"{self.rate:>9,.0f} arrivals/s, {dropped:,.0f} dropped/s: {busy:.0f} % busy, {own:.0f} % with ours")
            full = busy >= SATURATED_PERCENT and dropped > DROPPED_PART * self.rate
            self.more()
            if full:
                return
        raise HaStressError(f"{self.rate:,.0f} arrivals/s do not keep every core busy")

    def end(self, completed: int) -> Load:
        """Stop, and read the books once every arrival is in them. `completed` is how many were during the watch."""
        self._client.stop_task(self.task)
        wait_until("the task has ended", lambda: self._client.task(self.task)["status"] == "ended", END_TIMEOUT_S)
        books = self.books()
        whole = {name: books[name] for name in ("intended", "started", "dropped", "uncovered", "failed")}
        return Load(asked_per_s=self.rate, completed=completed, **whole)


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


def main() -> int:
    parser = parser_of("saturation", __doc__)
    parser.add_argument("--minutes", type=real(0.01, 24 * 60), default=5.0, help="to watch under full load (default 5)")
    options = parser.parse_args()
    return carry_out(lambda: measure(options.minutes), _shown, as_json=options.json)[1]


def _shown(report: dict[str, Any]) -> str:
    return "\n".join([table(report), *verdicts(report)])


if __name__ == "__main__":
    sys.exit(main())
