"""What HdrHistogram blobs say: exact sums and percentiles, quickly. Pure.

The library finds a percentile by walking through 23,552 counters in Python. Here the counters are sliced once and summed by
`accumulate`, after which each percentile is one bisection: reading six of them out of a blob takes a fifth of the time.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from ctypes import addressof, c_ulonglong, create_string_buffer, sizeof, string_at
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Final

from ha_stress.tasks.buckets import COUNTS_LEN, DIGITS, HIGHEST_US, LOWEST_US, highest_of, index_of, lowest_of

#: Classes of one width lie together, so many at a time; those of width 1 are twice as many.
_WIDE: Final = 1_024


class Sum:
    """Adds blobs exactly. `unreadable` counts those that are none, and are left out.

    The library's own `decode_and_add` makes a histogram of each blob first, with all that belongs to one; here its decoder
    and its addition are used, on no more counters than the blob has. That takes a third of the time.
    """

    __slots__ = ("_alone", "_high", "_payload", "_total", "unreadable")

    def __init__(self) -> None:
        self._alone = b""  # the first blob, as long as it is the only one
        self._payload: Any = None  # the first one, decoded, to which the others are added
        self._high = -1
        self._total = 0
        self.unreadable = 0

    def add(self, blob: bytes) -> None:
        """Empty blobs count as empty histograms."""
        if not blob:
            return
        from hdrh import codec  # a process that only asks for figures needs no library

        try:
            payload = codec.HdrHistogramEncoder.decode(blob)
            if _layout(payload.payload) != (LOWEST_US, HIGHEST_US, DIGITS):
                raise ValueError("another layout")
            found = payload.init_counts(COUNTS_LEN)
        except Exception:  # noqa: BLE001  a bad blob raises a dozen unrelated types (base64, zlib, struct, its own)
            self.unreadable += 1
            return
        if not found["total"]:
            return
        high = found["max_nonzero_index"]
        if self._payload is None:
            self._alone, self._payload = blob, payload
        else:
            self._alone = b""
            codec.add_array(addressof(self._payload.counts), addressof(payload.counts), high + 1, sizeof(c_ulonglong))
        self._high = max(self._high, high)
        self._total += found["total"]

    def encode(self) -> bytes:
        """The sum as one V2 blob, b"" if nothing was counted."""
        if self._alone or not self._total:
            return self._alone
        from hdrh import codec

        # As the library's `compress`, but for zlib's level: a tenth larger in half the time.
        width, room = sizeof(c_ulonglong), (self._high + 1) * (sizeof(c_ulonglong) + 1)
        packed = create_string_buffer(room)
        size = codec.encode(addressof(self._payload.counts), self._high + 1, width, addressof(packed), room)
        header = self._payload.payload
        header.payload_len = size
        compressed = zlib.compress(bytes(header) + string_at(packed, size), level=1)
        outer = codec.ExternalHeader(cookie=codec.get_compression_cookie(), length=len(compressed))
        return b64encode(bytes(outer) + compressed)

    def distribution(self) -> Distribution:
        """What it is now; what is added later is not in it."""
        if not self._total:
            return EMPTY
        counted = memoryview(self._payload.counts).cast("B")[: (self._high + 1) * sizeof(c_ulonglong)]
        return Distribution(counts=memoryview(bytes(counted)).cast("Q"))


def _layout(header: Any) -> tuple[int, int, int]:
    return header.lowest_trackable_value, header.highest_trackable_value, header.significant_figures


@lru_cache(maxsize=1)
def _middles() -> list[float]:
    """The middle of the values that are counted at each index."""
    return [(lowest_of(index) + highest_of(index)) / 2 for index in range(COUNTS_LEN)]


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

        As HdrHistogram has it: the greatest value of the class that the wanted one falls into; at 0 the smallest one.
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
        return self.sums[min(index_of(value_us), len(self.sums) - 1)]

    @property
    def max_us(self) -> int:
        return highest_of(len(self.counts) - 1) if self.total else 0

    @property
    def min_us(self) -> int:
        return lowest_of(next(index for index, count in enumerate(self.counts) if count)) if self.total else 0

    @property
    def mean_us(self) -> float:
        """Of the middles of the classes. Where they have one width, the sum of i * counts[i] is needed; `sums` tells it
        without a multiplication for each class, in a quarter of the time."""
        sums, size = self.sums, len(self.sums)
        total, begin, before = 0.0, 0, 0
        while begin < size:
            end = min(size, 2 * _WIDE if begin < 2 * _WIDE else begin + _WIDE)
            count = sums[end - 1] - before
            indexes = (end - 1) * sums[end - 1] - begin * before - sum(sums[begin : end - 1])
            low, width = lowest_of(begin), highest_of(begin) - lowest_of(begin) + 1
            total += (indexes - begin * count) * width + count * (low + (width - 1) / 2)
            begin, before = end, sums[end - 1]
        return total / self.total if self.total else 0.0

    @property
    def deviation_us(self) -> float:
        """The standard deviation."""
        if not self.total:
            return 0.0
        mean = self.mean_us
        squares = (
            count * (middle - mean) ** 2 for count, middle in zip(self.counts, _middles(), strict=False) if count
        )
        return float((sum(squares) / self.total) ** 0.5)


EMPTY: Final = Distribution()


def summed(blobs: Iterable[bytes]) -> Sum:
    """The exact sum of several blobs."""
    total = Sum()
    for blob in blobs:
        total.add(blob)
    return total


def distribution(blobs: Iterable[bytes]) -> Distribution:
    """The same, to be read."""
    return summed(blobs).distribution()
