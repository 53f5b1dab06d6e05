"""The host's cpu and memory, and the loop's own lateness. A newcomer without a first sample is not "0 % cpu"."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil
import trio

from ha_stress.mesh.lag import LoopLag


@dataclass(slots=True)
class Sampler:
    """Samples every `period_s`; the values are None until there is a first one."""

    period_s: float
    cpu_percent: float | None = None
    memory_percent: float | None = None
    memory_total_bytes: int = 0
    _lag: LoopLag = field(init=False)

    def __post_init__(self) -> None:
        self._lag = LoopLag(self.period_s)

    @property
    def loop_lag_s(self) -> float:
        """The worst of the last one to two periods, so that a reader of each published info misses none."""
        return round(self._lag.worst_s, 4)

    async def run(self) -> None:
        """Sample until cancelled. Two readings of /proc take well under a millisecond and do not block."""
        trio.lowlevel.add_instrument(self._lag)
        try:
            await self._sample_for_ever()
        finally:
            trio.lowlevel.remove_instrument(self._lag)

    async def _sample_for_ever(self) -> None:
        self._read_memory()
        psutil.cpu_percent(interval=None)  # the first reading has nothing to compare with; it is thrown away
        while True:
            await trio.sleep(self.period_s)
            self.cpu_percent = psutil.cpu_percent(interval=None)
            self._read_memory()

    def _read_memory(self) -> None:
        memory = psutil.virtual_memory()
        self.memory_percent = memory.percent
        self.memory_total_bytes = memory.total
