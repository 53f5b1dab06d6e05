"""What 3, 100, 300 and 1,000 nodes cost three sentinels, a master and Redis, and what they do to the failover.

    python -m bench.scale [--sizes 100,300,1000] [--json]

Two nodes of each cluster are real (the master and its successor), the others are light ones (`bench.light`): they speak
the real mesh and Redis protocols, many to a process. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.command import carry_out, conditions, parser_of, say, whole
from bench.scale_cluster import Scaled
from bench.scale_figures import BASE_NODES, Row, report_of, table, verdicts

#: Connections and first descriptions are not what is measured.
SETTLE_S: Final = 3.0
WATCH_S: Final = 10.0
FAILOVERS: Final = 5
DISTRIBUTIONS: Final = 3
#: Kills come at a random moment of the periods of pings and descriptions.
PHASE_S: Final = 1.0
#: Files that one process of a cluster of so many nodes has open: a light node five, and some.
_FILES: Final = 6_000


def measure(sizes: list[int], *, watch_s: float = WATCH_S, failovers: int = FAILOVERS) -> dict[str, Any]:
    _allow_files()
    load_before = os.getloadavg()
    rows = []
    for nodes in sorted({BASE_NODES, *sizes}):
        rows.append(measure_one(nodes, watch_s, failovers))
        say(", ".join(f"{name} {value}" for name, value in report_of(rows)["sizes"][-1].items()))
    return report_of(rows) | {
        "conditions": {
            "cores": os.cpu_count(),
            "load_average_before": round(load_before[0], 2),
            "load_average_after": round(os.getloadavg()[0], 2),
        }
    }


def measure_one(nodes: int, watch_s: float, failovers: int) -> Row:
    """One size in a cluster of its own."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        scaled = stack.enter_context(Scaled(directory, nodes))
        time.sleep(min(SETTLE_S, watch_s))
        cost = scaled.watch(watch_s)
        distributed = [scaled.distribute() * 1000 for _ in range(DISTRIBUTIONS)]
        took = []
        for _ in range(failovers):
            time.sleep(min(SETTLE_S, watch_s) + random.uniform(0, PHASE_S))
            took.append(scaled.fail_over() * 1000)
            say(f"{nodes} nodes: the successor acted after {took[-1]:.0f} ms")
        return Row(
            nodes=nodes,
            **cost,
            failover_ms=statistics.median(took),
            failover_worst_ms=max(took),
            distribute_ms=statistics.median(distributed),
        )


def _allow_files() -> None:
    """A thousand connections are more files than many systems allow by default; up to the hard limit we may have them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _sizes(text: str) -> list[int]:
    return [whole(BASE_NODES, 5_000)(part) for part in text.split(",")]


def main() -> int:
    parser = parser_of("scale", __doc__)
    parser.add_argument("--sizes", type=_sizes, default=[100, 300, 1000], help="nodes (default 100,300,1000)")
    parser.add_argument(
        "--failovers", type=whole(1, 1_000), default=FAILOVERS, help=f"of each size (default {FAILOVERS})"
    )
    options = parser.parse_args()
    return carry_out(lambda: measure(options.sizes, failovers=options.failovers), _shown, as_json=options.json)[1]


def _shown(report: dict[str, Any]) -> str:
    return "\n".join([table(report), *verdicts(report), conditions(report)])


if __name__ == "__main__":
    sys.exit(main())
