"""Which sequences of a holder are committed: a contiguous mark and, beyond the first gap, islands. Pure.

committed 1 2 3 . 5 6 . . 9   ->   contiguous 3, islands [5, 6] [9, 9]
then 4 arrives                ->   contiguous 6, islands [9, 9]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def advance(
    contiguous: int, islands: Sequence[tuple[int, int]], sequences: Iterable[int]
) -> tuple[int, list[tuple[int, int]]]:
    """The mark and islands after `sequences` (any order, repeats allowed) were committed. Sequences begin at 1."""
    ranges = sorted([*islands, *((s, s) for s in sequences if s > contiguous)])
    rest: list[tuple[int, int]] = []
    for first, last in ranges:
        if first <= contiguous + 1:
            contiguous = max(contiguous, last)
        elif rest and first <= rest[-1][1] + 1:
            rest[-1] = (rest[-1][0], max(rest[-1][1], last))
        else:
            rest.append((first, last))
    return contiguous, rest
