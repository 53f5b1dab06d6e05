"""Percentiles out of a merged histogram blob (HdrHistogram V2, microseconds)."""

from __future__ import annotations

from hdrh.histogram import HdrHistogram

from ha_stress.api.models import Latency


def latency_of(blob: bytes) -> Latency | None:
    """None where nothing was measured yet."""
    if not blob:
        return None
    histogram = HdrHistogram.decode(blob)
    count = int(histogram.get_total_count())
    if not count:
        return None

    def at(percentile: float) -> float:
        value_us: float = histogram.get_value_at_percentile(percentile)
        return round(value_us / 1000, 3)

    return Latency(
        count=count,
        mean_ms=round(histogram.get_mean_value() / 1000, 3),
        p50_ms=at(50),
        p90_ms=at(90),
        p99_ms=at(99),
        p999_ms=at(99.9),
        max_ms=round(histogram.get_max_value() / 1000, 3),
    )
