"""Whose turn it is: which of several requests an arrival sends, and which row of a file it uses. Pure.

Everybody computes the same from the number of an arrival, so a mix keeps its proportions over the whole cluster, and no two
processes use the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from ha_stress.tasks.scenario import Feeder


def spread(counts: Sequence[int]) -> list[int]:
    """A table in which index i occurs `counts[i]` times, evenly spaced: the order of smooth weighted round robin.

    The k-th of c occurrences belongs at (2k + 1) / 2c of the table; sorting by that costs n log n, where the
    round robin itself costs slots times nodes. Example: 1, 2, 5 give 2 1 2 0 2 2 1 2.
    """
    places = [((2 * k + 1) / count, index) for index, count in enumerate(counts) for k in range(count)]
    return [index for _, index in sorted(places)]


def turns(weights: Sequence[int]) -> list[int]:
    """Arrival n sends request `turns(weights)[n mod length]`. Weights are made as small as their proportion allows."""
    divisor = gcd(*weights) or 1
    return spread([weight // divisor for weight in weights])


def row_of(feeder: Feeder, number: int) -> int | None:
    """The row (from 0) that arrival `number` uses; None beyond the last one of a file that does not begin again."""
    if number < feeder.rows:
        return number
    return number % feeder.rows if feeder.again and feeder.rows else None


def number_of_user(user: int, users: int, iteration: int) -> int:
    """The number that stands for an arrival's in the closed model: of the `iteration`-th (from 0) of one of `users`."""
    return user + iteration * users
