"""Recording latencies, in microseconds: see `tasks.buckets` for the layout.

The hot path is a plain list increment. Recording through the library's `record_value` costs 0.6 us a value on the
development machine, this one 0.1 us; an engine records two values per response. Once a second the list is turned into the
library's V2 blob (base64), which is what travels, merges exactly, and is read by every HdrHistogram tool.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ha_stress.tasks.buckets import COUNTS_LEN, DIGITS, HIGHEST_US, LOWEST_US, index_of

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

_CHUNK: Final = 1_024


class Recorder:
    """Counts by index. The hot path may increment `counts[index_of(v)]` itself."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: list[int] = [0] * COUNTS_LEN

    def record(self, value_us: int) -> None:
        """Count one value in microseconds; values out of range count as the nearest in range."""
        if 0 <= value_us < 2048:
            self.counts[value_us] += 1
        else:
            self.counts[index_of(value_us)] += 1

    def drain(self) -> bytes:
        """What was recorded since the last drain as a blob, b"" if nothing; the recorder is empty afterwards."""
        counts = self.counts
        total, low, high = 0, -1, -1
        histogram = None
        for start in range(0, COUNTS_LEN, _CHUNK):
            chunk = counts[start : start + _CHUNK]
            if not any(chunk):  # most chunks are empty: looking at them in C keeps the engine's pause below 1 ms
                continue
            histogram = histogram or new_histogram()
            for index, count in enumerate(chunk, start):
                if count:
                    histogram.counts[index] = count
                    total += count
                    low = index if low < 0 else low
                    high = index
            counts[start : start + _CHUNK] = [0] * len(chunk)
        if histogram is None:
            return b""
        histogram.set_internal_tacking_values(low, high, total)
        blob: bytes = histogram.encode()
        histogram.encoder = None  # they refer to each other, and an engine's collector is off
        return blob


class Sparse:
    """The same, as large as there are different values in it. Encoding one takes 0.1 ms; where there are many of them the
    engine leaves that to its node."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)

    def record(self, value_us: int) -> None:
        self.counts[index_of(value_us)] += 1

    def drain(self) -> dict[int, int]:
        """Counts by index since the last drain."""
        drained = dict(self.counts)
        self.counts.clear()
        return drained


def blob_of(counts: Mapping[int, int]) -> bytes:
    """What `Sparse` counted as a blob; b"" for nothing."""
    if not counts:
        return b""
    histogram = new_histogram()
    for index, count in counts.items():
        histogram.counts[index] = count
    histogram.set_internal_tacking_values(min(counts), max(counts), sum(counts.values()))
    blob: bytes = histogram.encode()
    return blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a histogram says, in microseconds. `percentiles_us` maps the percentile asked for (0 to 100) to its value."""

    count: int
    min_us: int
    mean_us: float
    max_us: int
    percentiles_us: dict[float, int]


def new_histogram() -> HdrHistogram:
    """An empty histogram of our range. The library is imported here because it costs an engine 10 ms and 2 MB."""
    from hdrh.histogram import HdrHistogram

    return HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)


def merge(blobs: Iterable[bytes]) -> bytes:
    """The exact sum of several histograms; b"" if all are empty. Empty blobs count as empty histograms."""
    total: Any = None
    for blob in blobs:
        if blob:
            total = total or new_histogram()
            total.decode_and_add(blob)
    if total is None:
        return b""
    merged: bytes = total.encode()
    return merged


def percentiles(blob: bytes, wanted: Sequence[float]) -> dict[float, int]:
    """The value in microseconds at each percentile (0 to 100); zeros for an empty histogram."""
    if not blob:
        return dict.fromkeys(wanted, 0)
    found: dict[float, int] = _decode(blob).get_percentile_to_value_dict(list(wanted))
    return {percentile: found[percentile] for percentile in wanted}


def summary(blob: bytes, wanted: Sequence[float] = (50, 90, 99, 99.9)) -> Summary:
    """Count, extremes, mean and percentiles of one histogram."""
    if not blob:
        return Summary(count=0, min_us=0, mean_us=0.0, max_us=0, percentiles_us=dict.fromkeys(wanted, 0))
    histogram = _decode(blob)
    return Summary(
        count=histogram.get_total_count(),
        min_us=histogram.get_min_value(),
        mean_us=histogram.get_mean_value(),
        max_us=histogram.get_max_value(),
        percentiles_us=percentiles(blob, wanted),
    )


def _decode(blob: bytes) -> HdrHistogram:
    from hdrh.histogram import HdrHistogram

    return HdrHistogram.decode(blob)
