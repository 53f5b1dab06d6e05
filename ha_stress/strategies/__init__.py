"""Layer 2: strategies. Pure: who gets the next piece of work, and how much of it."""

from __future__ import annotations

from ha_stress.strategies.registry import DEFAULT, NoMembers, strategies, strategy, weights

__all__ = ["DEFAULT", "NoMembers", "strategies", "strategy", "weights"]
