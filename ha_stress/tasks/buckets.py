"""The layout of a latency histogram: 1 us to 1 h, three significant digits, as HdrHistogram has it. Pure.

value < 2048            index = value
value of n > 11 bits    index = (n - 11) * 1024 + (value >> (n - 11))
"""

from __future__ import annotations

from typing import Final

LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
DIGITS: Final = 3
#: How many counters there are: as the library computes it for the three values above.
COUNTS_LEN: Final = 23_552


def index_of(value_us: int) -> int:
    """Where a value is counted; values out of range count as the nearest in range."""
    if value_us < 2048:
        return max(value_us, 0)
    shift = min(value_us, HIGHEST_US).bit_length() - 11
    return (shift << 10) + (min(value_us, HIGHEST_US) >> shift)


def lowest_of(index: int) -> int:
    """The smallest value, in microseconds, that is counted at this index."""
    if index < 2048:
        return index
    shift = (index >> 10) - 1
    return (index - (shift << 10)) << shift


def highest_of(index: int) -> int:
    """The greatest value that is counted at this index."""
    return index if index < 2048 else lowest_of(index) + (1 << ((index >> 10) - 1)) - 1
