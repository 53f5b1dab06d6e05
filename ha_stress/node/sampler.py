"""The host's cpu and memory, and the loop's own lateness. A newcomer without a first sample is not "0 % cpu"."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import trio


@dataclass(slots=True)
class Sampler:
    """Samples every `period_s`; the values are None until there is a first one."""

    period_s: float
    cpu_percent: float | None = None
    memory_percent: float | None = None
    memory_total_bytes: int = 0
    loop_lag_s: float = 0.0

    async def run(self) -> None:
        """Sample until cancelled. Two readings of /proc take well under a millisecond and do not block."""
        self._read_memory()
        psutil.cpu_percent(interval=None)  # the first reading has nothing to compare with; it is thrown away
        while True:
            due = trio.current_time() + self.period_s
            await trio.sleep_until(due)
            self.loop_lag_s = round(trio.current_time() - due, 4)
            self.cpu_percent = psutil.cpu_percent(interval=None)
            self._read_memory()

    def _read_memory(self) -> None:
        memory = psutil.virtual_memory()
        self.memory_percent = memory.percent
        self.memory_total_bytes = memory.total
