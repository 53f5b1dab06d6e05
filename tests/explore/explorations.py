"""What is explored by default, each until nothing within its bound is left. Together a few minutes on one core."""

from __future__ import annotations

from typing import Final

from tests.explore.starts import Exploration, exploration

EXPLORATIONS: Final[tuple[Exploration, ...]] = (
    exploration("first race", "overtake=2,late=1", 2),
    exploration("first race", "crash=1,restart=1", 2),
    exploration("master dead", "overtake=3", 1),
    exploration("master dead", "overtake=1,late=1", 2),
    exploration("master dead", "late=2", 2),
    exploration("master dead", "crash=1,restart=1", 2),
    exploration("master dead", "late=1,disk=1,unanswered=1", 2),
    exploration("master dead", "overtake=1,late=1,forget=1", 2),
    exploration("master dead", "pause=1", 2),
    # Millions of orders, each complete to this depth: from here an election takes about as many moves.
    exploration("two candidates", "overtake=99", 0, depth=12),
    exploration("two candidates", "overtake=1,late=1,doubled=1", 1),
    exploration("voter restarts", "overtake=99,restart=1", 0),
    exploration("award under way", "late=2,unanswered=1", 3),
    exploration("award under way", "crash=1,restart=1", 2),
    exploration("master cut off", "overtake=2", 1),
    exploration("master cut off", "late=1,heal=1", 2),
    exploration("master paused", "overtake=1", 2),
    exploration("master paused", "late=1", 2),
    exploration("sentinel stalled", "overtake=1,late=1", 2),
    exploration("redis empty", "overtake=1,late=1", 2),
    exploration("command under way", "overtake=2,late=1", 1),
)
