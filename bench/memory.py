"""Does memory grow with the length of a run? A whole cluster sends ten million requests, and everybody's memory is watched.

    python -m bench.memory [--requests 10000000] [--rate 100000] [--json]

Three nodes (one acts as master, two have an engine each), three sentinels and the embedded Redis load nginx, or our own
counting target where there is none. Exit code 1 if a process grows with the number of requests.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from bench.command import carry_out, conditions, parser_of, real, say, whole
from bench.load_server import any_server
from bench.memory_figures import Sample, report_of, table, verdicts
from chaos.outside import Outside
from ha_stress.base.errors import HaStressError, Unavailable
from ha_stress.base.ids import new_task_id
from ha_stress.cli.client import Client
from ha_stress.cli.local import LocalCluster, LocalSpec

REQUESTS: Final = 10_000_000
RATE: Final = 100_000.0
NODES: Final = 3
SAMPLE_PERIOD_S: Final = 1.0
#: A machine that keeps only a part of the rate needs longer, up to this many times.
PATIENCE: Final = 8
START_S: Final = 60.0
SAY_PERIOD: Final = 15


def measure(requests: int, rate: float) -> dict[str, Any]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        name, url = stack.enter_context(any_server(None))
        cluster = stack.enter_context(LocalCluster(LocalSpec(data_dir=directory, nodes=NODES)))
        client = stack.enter_context(cluster.client())
        outside = Outside(cluster.redis_url, cluster.spec.cluster)
        stack.callback(outside.client.close)
        task = new_task_id()
        client.create_task({"id": task, "name": "memory", "url": url, "rate": rate, "in_flight_max": 1024})
        say(f"{requests:,} requests at {rate:,.0f}/s onto {name}: about {requests / rate:.0f} s")
        samples = _watch(client, task, Processes(cluster, outside), requests, PATIENCE * requests / rate + START_S)
        client.stop_task(task)
    return report_of(samples) | {
        "conditions": {"target": name, "rate": rate, "cores": os.cpu_count(), "nodes": NODES, "engines": NODES - 1}
    }


def _watch(client: Client, task: str, processes: Processes, requests: int, timeout_s: float) -> list[Sample]:
    """A sample a second until so many requests are in the books."""
    samples: list[Sample] = []
    began = time.monotonic()
    while not samples or samples[-1].requests < requests:
        at_s = time.monotonic() - began
        if at_s > timeout_s:
            done = samples[-1].requests if samples else 0
            raise HaStressError(f"only {done:,} of {requests:,} requests were completed within {timeout_s:.0f} s")
        with suppress(Unavailable):  # a busy machine: the next look is a second away
            completed = client.task(task)["books"]["completed"]
            if completed:
                samples.append(Sample(at_s=at_s, requests=completed, rss_mb=processes.rss_mb()))
                if len(samples) % SAY_PERIOD == 0:
                    say(f"{at_s:.0f} s: {completed:,} requests, {sum(samples[-1].rss_mb.values()):.0f} MB in all")
        time.sleep(SAMPLE_PERIOD_S)
    return samples


class Processes:
    """All of the cluster, by what they are. The master of the beginning keeps its name, so a change of roles shows."""

    def __init__(self, cluster: LocalCluster, outside: Outside) -> None:
        self._cluster = cluster
        self._redis = outside.redis_process()
        self._master = outside.look().node

    def rss_mb(self) -> dict[str, float]:
        """Megabytes by process; one that is gone is left out."""
        found: dict[str, float] = {}
        for child in self._cluster.nodes.values():
            role = "master" if child.id == self._master else "worker"
            with suppress(psutil.NoSuchProcess):
                node = psutil.Process(child.pid)
                found[f"{role} {child.id}"] = _rss_mb(node)
                for number, engine in enumerate(sorted(node.children(), key=lambda one: one.pid)):
                    found[f"engine {child.id}/{number}"] = _rss_mb(engine)
        for child in self._cluster.sentinels.values():
            with suppress(psutil.NoSuchProcess):
                found[f"sentinel {child.id}"] = _rss_mb(psutil.Process(child.pid))
        with suppress(psutil.NoSuchProcess):
            found["redis"] = _rss_mb(self._redis)
        return found


def _rss_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def main() -> int:
    parser = parser_of("memory", __doc__)
    parser.add_argument("--requests", type=whole(1_000, 10**12), default=REQUESTS, help=f"default {REQUESTS:,}")
    parser.add_argument("--rate", type=real(1, 10_000_000), default=RATE, help=f"requests/s (default {RATE:,.0f})")
    options = parser.parse_args()
    return carry_out(lambda: measure(options.requests, options.rate), _shown, as_json=options.json)[1]


def _shown(report: dict[str, Any]) -> str:
    return "\n".join([table(report), "", *verdicts(report), conditions(report)])


if __name__ == "__main__":
    sys.exit(main())
