"""A sequence of exponential variates of mean 1 and its sums, with random access: what makes arrivals Poisson. Pure.

A cluster's processes each need other members of the same random sequence, without computing all of it: sum n is found by
going down a tree. The sum of a block of 2m exponentials is drawn once (gamma), and split between its halves (beta):

    sum of 2^50                gamma(2^50)
      +- left, right           left = sum * beta(m, m), right = the rest; and so on, 42 times
           +- 256 exponentials, drawn one by one and scaled to the sum of their block

which has exactly the distribution of 2^50 independent exponentials. Each draw comes from SHAKE of (seed, level, index), so
every process on every machine sees the same, and in order a block of 256 costs two draws of the tree.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import shake_128
from itertools import accumulate
from math import cos, log, pi, sqrt
from struct import unpack
from typing import Final

#: Exponentials in a leaf: large enough that the tree above it costs next to nothing.
LEAF: Final = 256
#: Levels of halving above the leaves: 2^50 arrivals are three years at the highest rate there is.
DEPTH: Final = 42


class Exponentials:
    """Variates e(0), e(1), ... for a seed; `sums` gives e(0) + ... + e(n). Remembers the way to where it was last."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        whole = _gamma(_uniforms(seed, -1, 0), LEAF << DEPTH)
        self._whole = whole
        #: For each level the node that was last split: its index, and the sums at its begin, its middle and its end.
        self._split: list[tuple[int, float, float, float]] = [(-1, 0.0, 0.0, 0.0)] * DEPTH
        self._index = -1
        self._leaf: list[float] = []

    def sums(self, numbers: Sequence[int]) -> list[float]:
        """The sum of the variates up to and with each of these."""
        found = []
        index, leaf = self._index, self._leaf
        for number in numbers:
            if number >> 8 != index:
                index = number >> 8
                leaf = self._block(index)
            found.append(leaf[number & 255])
        return found

    def below(self, limit: float) -> int:
        """How many of the sums are below `limit`."""
        if limit >= self._whole:
            return LEAF << DEPTH
        index = 0
        for level in range(DEPTH):
            _, middle, _ = self._halves(level, index)
            index = 2 * index + (limit > middle)
        return (index << 8) + bisect_left(self._block(index), limit)

    def _block(self, index: int) -> list[float]:
        """All sums of one leaf."""
        if index != self._index:
            begin, end = self._node(DEPTH, index)
            total = end - begin
            self._leaf = [begin + total * part for part in _parts(self._seed, index)]
            self._leaf[-1] = end  # to the last bit, as that is where the next leaf begins
            self._index = index
        return self._leaf

    def _node(self, level: int, index: int) -> tuple[float, float]:
        """The sums at the begin and the end of a node."""
        if level == 0:
            return 0.0, self._whole
        begin, middle, end = self._halves(level - 1, index >> 1)
        return (middle, end) if index & 1 else (begin, middle)

    def _halves(self, level: int, index: int) -> tuple[float, float, float]:
        """The sums at the begin, the middle and the end of a node."""
        known, begin, middle, end = self._split[level]
        if known != index:
            begin, end = self._node(level, index)
            half = _half(_uniforms(self._seed, level, index), LEAF << (DEPTH - level - 1))
            middle = begin + (end - begin) * half
            self._split[level] = (index, begin, middle, end)
        return begin, middle, end


def _parts(seed: int, index: int) -> list[float]:
    """The sums of a leaf's exponentials, as parts of the whole leaf; the last one is 1."""
    drawn = unpack("<256Q", shake_128(b"%d leaf %d" % (seed, index)).digest(8 * LEAF))
    sums = list(accumulate([-log((one + 0.5) * _SCALE) for one in drawn]))
    last = sums[-1]
    return [one / last for one in sums]


_SCALE: Final = 2.0**-64


def _uniforms(seed: int, level: int, index: int) -> Iterator[float]:
    """As many as are asked for, between 0 and 1 and neither of them."""
    turn = 0
    while True:
        drawn = unpack("<16Q", shake_128(b"%d node %d %d %d" % (seed, level, index, turn)).digest(128))
        yield from ((one + 0.5) * _SCALE for one in drawn)
        turn += 1


def _gamma(uniforms: Iterator[float], shape: int) -> float:
    """The sum of `shape` exponentials, a hundred at least (Marsaglia and Tsang 2000; it nearly always takes one try)."""
    d = shape - 1 / 3
    c = 1 / sqrt(9 * d)
    while True:
        normal = sqrt(-2 * log(next(uniforms))) * cos(2 * pi * next(uniforms))
        cube = float((1 + c * normal) ** 3)
        if shape > _SURE or log(next(uniforms)) < normal * normal / 2 + d * (1 - cube + log(cube)):
            return d * cube


#: Above it a try fails less than once in ten million times, and rounding would decide which.
_SURE: Final = 1 << 20


def _half(uniforms: Iterator[float], shape: int) -> float:
    """The left part of the sum of two times `shape` exponentials."""
    left, right = _gamma(uniforms, shape), _gamma(uniforms, shape)
    return left / (left + right)
