"""Adding HdrHistogram blobs exactly (percentiles are never averaged). Pure, and loaded only when frames come in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hdrh.histogram import HdrHistogram

#: 1 us to 1 h with 3 significant digits, as the engines record.
LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
DIGITS: Final = 3


def merge(blobs: Iterable[bytes]) -> tuple[bytes, int]:
    """The sum as one V2 blob (base64), b"" if there is nothing to add; and how many blobs could not be read."""
    total: HdrHistogram | None = None
    unreadable = 0
    for blob in blobs:
        if not blob:
            continue
        if total is None:
            total = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        try:
            total.decode_and_add(blob)
        except Exception:  # noqa: BLE001  a bad blob raises a dozen unrelated types (base64, zlib, struct, its own)
            unreadable += 1
    if total is None or not total.get_total_count():
        return b"", unreadable
    encoded: bytes = total.encode()
    return encoded, unreadable
