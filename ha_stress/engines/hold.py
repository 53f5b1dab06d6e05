"""When an engine's arrivals wait: its share may have been given to others, so it asks its node before it goes on. Pure.

stalled   this engine did not run for a while       until the node says go, or for HOLD_S if it does not
silent    its node said nothing for `silent_s`      until the node says go: it has been suspended, or as good as that
"""

from __future__ import annotations

from math import inf
from typing import Final

#: Waking later than asked by more than this means that this process, or the machine, was stopped.
STALL_S: Final = 1.0
#: After a stall arrivals are held until the node says go, or for this long if it does not.
HOLD_S: Final = 2.0


class Hold:
    """Nothing is sent before `until_s`. Every time is on the engine's clock."""

    __slots__ = ("_heard_s", "_silent_s", "until_s")

    def __init__(self, silent_s: float) -> None:
        self.until_s = -inf
        self._silent_s = silent_s
        self._heard_s = inf

    def heard(self, now_s: float) -> None:
        """The node said something."""
        self._heard_s = now_s

    def stalled(self, now_s: float) -> None:
        self.until_s = max(self.until_s, now_s + HOLD_S)

    def silence_s(self, now_s: float) -> float | None:
        """How long the node has been silent, if that is too long, and news; arrivals are held then."""
        silence_s = now_s - self._heard_s
        if silence_s <= self._silent_s or self.until_s == inf:
            return None
        self.until_s = inf
        return silence_s

    def go(self) -> None:
        """The node has looked."""
        self.until_s = -inf
