"""What HdrHistogram blobs say: exact sums and percentiles, quickly. Pure.

The library finds a percentile by walking through 23,552 counters in Python. Here the counters are sliced once and summed by
`accumulate`, after which each percentile is one bisection: reading six of them out of a blob takes a fifth of the time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

#: 1 us to 1 h with 3 significant digits, as the engines record (see `engines.histogram`).
LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
DIGITS: Final = 3


def lowest_of(index: int) -> int:
    """The smallest value, in microseconds, that is counted at this index."""
    if index < 2048:
        return index
    shift = (index >> 10) - 1
    return (index - (shift << 10)) << shift


def highest_of(index: int) -> int:
    """The greatest value that is counted at this index."""
    return index if index < 2048 else lowest_of(index) + (1 << ((index >> 10) - 1)) - 1


def _index_of(value_us: int) -> int:
    if value_us < 2048:
        return value_us
    shift = value_us.bit_length() - 11
    return (shift << 10) + (value_us >> shift)


class Sum:
    """Adds blobs exactly. `unreadable` counts those that are none, and are left out."""

    __slots__ = ("_total", "unreadable")

    def __init__(self) -> None:
        self._total: Any = None
        self.unreadable = 0

    def add(self, blob: bytes) -> None:
        """Empty blobs count as empty histograms."""
        if not blob:
            return
        from hdrh.histogram import HdrHistogram  # a process that only asks for figures needs no library

        if self._total is None:
            self._total = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        try:
            self._total.decode_and_add(blob)
        except Exception:  # noqa: BLE001  a bad blob raises a dozen unrelated types (base64, zlib, struct, its own)
            self.unreadable += 1

    def encode(self) -> bytes:
        """The sum as one V2 blob, b"" if nothing was counted."""
        if self._total is None or not self._total.get_total_count():
            return b""
        blob: bytes = self._total.encode()
        return blob

    def distribution(self) -> Distribution:
        if self._total is None or not self._total.get_total_count():
            return EMPTY
        last = self._total.get_counts_array_index(self._total.get_max_value())
        return Distribution(counts=self._total.counts[: last + 1])


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A histogram that is only read. `counts[i]` values lay between `lowest_of(i)` and `highest_of(i)`, in microseconds."""

    counts: Sequence[int] = field(default=(), repr=False)

    @cached_property
    def sums(self) -> Sequence[int]:
        """How many values lay at or below each index."""
        return list(accumulate(self.counts))

    @property
    def total(self) -> int:
        return self.sums[-1] if self.sums else 0

    def at(self, percentile: float) -> int:
        """The value in microseconds at or below which `percentile` (0 to 100) of all values lie; 0 if there are none.

        As HdrHistogram has it: the greatest value of the class that the wanted one falls into; of the smallest, the smallest.
        """
        if not self.total:
            return 0
        wanted = min(max(1, int(percentile / 100 * self.total + 0.5)), self.total)
        index = bisect_left(self.sums, wanted)
        return highest_of(index) if percentile else lowest_of(index)

    def at_most(self, value_us: int) -> int:
        """How many values lay in the class of this one or below."""
        if not self.sums or value_us < 0:
            return 0
        return self.sums[min(_index_of(value_us), len(self.sums) - 1)]

    @property
    def max_us(self) -> int:
        return highest_of(len(self.counts) - 1) if self.total else 0

    @property
    def min_us(self) -> int:
        return lowest_of(next(index for index, count in enumerate(self.counts) if count)) if self.total else 0

    @property
    def mean_us(self) -> float:
        if not self.total:
            return 0.0
        return (
            sum(count * (lowest_of(i) + highest_of(i)) / 2 for i, count in enumerate(self.counts) if count) / self.total
        )

    @property
    def deviation_us(self) -> float:
        """The standard deviation."""
        if not self.total:
            return 0.0
        mean = self.mean_us
        squares = (
            count * ((lowest_of(i) + highest_of(i)) / 2 - mean) ** 2 for i, count in enumerate(self.counts) if count
        )
        return float((sum(squares) / self.total) ** 0.5)


EMPTY: Final = Distribution()


def distribution(blobs: Iterable[bytes]) -> Distribution:
    """The exact sum of several blobs."""
    total = Sum()
    for blob in blobs:
        total.add(blob)
    return total.distribution()
