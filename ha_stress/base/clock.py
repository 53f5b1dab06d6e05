"""Clocks as a port, so that cores and shells can run on virtual time.

`now()` is monotonic and is the only clock that decides anything. `wall()` is for people and for the start of a
schedule that several hosts share.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Unix seconds."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
