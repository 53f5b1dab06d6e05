"""Which fault comes when: shuffle the deck, deal it out, shuffle again. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def draw(cards: Sequence[T], rounds: int, seed: int) -> list[T]:
    """`rounds` cards; each comes equally often, or once more than another. The same seed deals the same."""
    assert cards
    dice = random.Random(seed)
    drawn: list[T] = []
    while len(drawn) < rounds:
        deck = list(cards)
        dice.shuffle(deck)
        drawn += deck[: rounds - len(drawn)]
    return drawn
