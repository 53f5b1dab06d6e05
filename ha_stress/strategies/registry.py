"""Strategies by name: which members share a task, in which order, with which weight. Pure.

A strategy is a function `(members) -> [(member, weight), ...]`, best first. Weights are relative and above 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ha_stress.base.errors import ConfigError, Unavailable
from ha_stress.cluster.members import NodeInfo
from ha_stress.strategies.equal import equal
from ha_stress.strategies.resource_priority import resource_priority

Weighted = list[tuple[NodeInfo, float]]
Strategy = Callable[[Sequence[NodeInfo]], Weighted]

DEFAULT: Final = "resource_priority"

_STRATEGIES: Final[dict[str, Strategy]] = {"equal": equal, "resource_priority": resource_priority}


class NoMembers(Unavailable):
    """There is nobody to choose from now."""


def strategies() -> tuple[str, ...]:
    """The known names, sorted."""
    return tuple(sorted(_STRATEGIES))


def strategy(name: str) -> Strategy:
    """The strategy called `name`; ConfigError with the known names if there is none."""
    try:
        return _STRATEGIES[name]
    except KeyError:
        raise ConfigError(f"unknown strategy {name!r}: known strategies are {', '.join(strategies())}") from None


def weights(members: Sequence[NodeInfo], count: int | None = None, *, name: str = DEFAULT) -> Weighted:
    """The best `count` members (None: all) with their weights. NoMembers if there are none."""
    assert count is None or count > 0
    chosen = strategy(name)(members)
    if not chosen:
        raise NoMembers(f"the strategy {name} has no member to choose from")
    return chosen[:count]
