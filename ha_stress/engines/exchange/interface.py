"""What a lane needs of a protocol."""

from __future__ import annotations

from typing import Protocol

from ha_stress.engines.exchange.arrival import Arrival


class Exchange(Protocol):
    """One kind of request of one task, with its connections."""

    async def run(self, arrival: Arrival) -> None:
        """Carry out one arrival: `begin` it when its first byte goes out, `complete` it when its answer is there. What
        it raises is counted under `reasons.kind_of`; the caller sees to the time limit."""
        ...

    def close(self) -> None:
        """Drop every connection at once."""
        ...
