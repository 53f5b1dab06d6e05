"""What the cluster costs while nothing happens: time to help, time to serve, cpu and memory of an idle cluster.

    python -m bench.idle [--json]

Exit code 1 if a goal is missed. Processes count with their children (a node's engines); the worst of each kind is reported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

#: What each figure may be at most.
GOALS = {
    "help_s": 0.4,
    "up_s": 8.0,
    "node_cpu_percent": 2.0,
    "node_rss_mb": 90.0,
    "sentinel_cpu_percent": 1.5,
    "sentinel_rss_mb": 60.0,
}
HELP_RUNS = 5
#: Start-up work (imports, first elections) is not idling.
SETTLE_S = 3.0
WATCH_S = 15.0
STOP_TIMEOUT_S = 20.0
COMMAND = [sys.executable, "-m", "ha_stress"]


def measure() -> dict[str, float]:
    figures = {"help_s": statistics.median(_help_s() for _ in range(HELP_RUNS))}
    with tempfile.TemporaryDirectory(prefix="ha-stress-idle-", ignore_cleanup_errors=True) as directory:
        began = time.monotonic()
        up = subprocess.Popen([*COMMAND, "up", "--json", "--data-dir", directory], stdout=subprocess.PIPE)
        try:
            assert up.stdout is not None
            if not up.stdout.readline():
                raise SystemExit("error: `ha-stress up` did not start")
            figures["up_s"] = time.monotonic() - began
            figures |= _idle(json.loads((Path(directory) / "cluster.json").read_text()))
        finally:
            up.terminate()
            up.wait(STOP_TIMEOUT_S)
    return {name: round(figures[name], 3) for name in GOALS}


def _help_s() -> float:
    began = time.monotonic()
    subprocess.run([*COMMAND, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _idle(cluster: dict[str, Any]) -> dict[str, float]:
    time.sleep(SETTLE_S)
    families = {(p["kind"], p["id"]): _family(p["pid"]) for p in cluster["processes"]}
    before = {key: _cpu_s(family) for key, family in families.items()}
    began = time.monotonic()
    time.sleep(WATCH_S)
    took_s = time.monotonic() - began
    worst: dict[str, float] = {}
    for (kind, name), family in families.items():
        cpu = 100 * (_cpu_s(family) - before[kind, name]) / took_s
        rss = sum(process.memory_info().rss for process in family) / 1e6
        worst[f"{kind}_cpu_percent"] = max(worst.get(f"{kind}_cpu_percent", 0.0), cpu)
        worst[f"{kind}_rss_mb"] = max(worst.get(f"{kind}_rss_mb", 0.0), rss)
    return worst


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu_s(family: list[psutil.Process]) -> float:
    """Processor time so far, all threads, user and system."""
    times = [process.cpu_times() for process in family]
    return float(sum(one.user + one.system for one in times))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.idle", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    figures = measure()
    missed = [name for name, goal in GOALS.items() if figures[name] > goal]
    if options.json:
        print(json.dumps(figures))
    else:
        for name, goal in GOALS.items():
            print(f"{name:<22} {figures[name]:>8.3f}   goal {goal:g}{'   MISSED' if name in missed else ''}")
    for name in missed:
        print(f"error: {name} is {figures[name]:g}, above {GOALS[name]:g}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
