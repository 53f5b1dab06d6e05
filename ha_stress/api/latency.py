"""What a distribution of latencies says, in milliseconds."""

from __future__ import annotations

from ha_stress.api.models import Latency
from ha_stress.tasks.distribution import Distribution


def latency_of(found: Distribution) -> Latency | None:
    """None where nothing was measured yet."""
    if not found.total:
        return None
    p50, p90, p99, p999 = (round(found.at(percentile) / 1000, 3) for percentile in (50, 90, 99, 99.9))
    return Latency(
        count=found.total,
        mean_ms=round(found.mean_us / 1000, 3),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=round(found.max_us / 1000, 3),
    )
