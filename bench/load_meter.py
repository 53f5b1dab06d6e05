"""What processes spent of a processor, to the nanosecond where the kernel says it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil


def family(pid: int) -> list[psutil.Process]:
    """The process and all that it has started; empty if it is gone."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """User and system time of all threads so far; a process that is gone counts nothing."""
    return sum(_one(process) for process in processes)


def _one(process: psutil.Process) -> float:
    """`cpu_times` has a resolution of 10 ms, which is 5 % of what 1,000 requests/s cost in four seconds."""
    spent_ns = 0
    try:
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            spent_ns += int((thread / "schedstat").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        with suppress(psutil.Error):
            times = process.cpu_times()
            return float(times.user + times.system)
        return 0.0
    return spent_ns / 1e9
