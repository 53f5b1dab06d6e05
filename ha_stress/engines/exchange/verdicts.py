"""The checks of answers that have no status, or a status and a body."""

from __future__ import annotations

from collections.abc import Sequence

from ha_stress.engines.checking import plain
from ha_stress.engines.exchange.arrival import Arrival
from ha_stress.tasks.checking import Compiled, failures

Headers = Sequence[tuple[bytes, bytes]]


def settle(
    arrival: Arrival, checks: Compiled, status: int | None = None, headers: Headers = (), body: bytes = b""
) -> None:
    """Complete the arrival with what the checks say of its answer."""
    if checks.only_status:  # the account works those out from its counts
        arrival.complete(status)
        return
    arrival.complete(status, failures(checks, status or 0, headers, plain(headers, body), arrival.elapsed_ms()))
