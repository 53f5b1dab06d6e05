"""Breadth-first search through all states that a start leads to, each visited once. So a counterexample is a shortest one."""

from __future__ import annotations

import gc
import time
from array import array
from dataclasses import dataclass
from operator import ge

from tests.explore.budget import Budget
from tests.explore.moves import Move, after, moves
from tests.explore.state import NODE_NUMBERS, State
from tests.explore.world import World

#: A search stops here and says so: about 1 GB of states.
STATES_MAX = 3_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How far a search goes. `depth`: moves from the start, 0: no limit. `horizon`: instants after the start's own."""

    horizon: int
    depth: int = 0
    states: int = STATES_MAX


@dataclass(slots=True, kw_only=True)
class Found:
    """`exhausted`: every state within horizon and budget was visited, none was left out because of depth or number.
    `broken`: the sentences that the last move of `path` broke; empty if nothing was found. `successions`: states in which
    a master of a later epoch than the start's acts."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    exhausted: bool = False
    successions: int = 0
    wall_s: float = 0.0
    broken: tuple[str, ...] = ()
    path: tuple[Move, ...] = ()


class Seen:
    """The states that were visited, each with the budgets that were left when it was. A state that comes again with no more
    of any kind left than before is no news: whatever can happen after it could happen then."""

    def __init__(self) -> None:
        self._left: dict[tuple[object, ...], Budget | list[Budget]] = {}

    def __len__(self) -> int:
        return len(self._left)

    def add(self, state: State) -> bool:
        """Returns whether it is news."""
        place, budget = state[:-1], state.budget
        known = self._left.get(place)
        if known is None:
            self._left[place] = budget
        elif isinstance(known, tuple):
            if covers(known, budget):
                return False
            self._left[place] = [known, budget]
        else:
            if any(covers(left, budget) for left in known):
                return False
            known.append(budget)
        return True


def covers(more: Budget, less: Budget) -> bool:
    return all(map(ge, more, less))


def search(world: World, start: State, bound: Bound) -> Found:
    """Visit everything within the bound, or stop at the first violation."""
    began = time.perf_counter()
    gc.disable()  # millions of tuples without a cycle among them
    try:
        found = _search(world, start, bound)
    finally:
        gc.enable()
    found.wall_s = time.perf_counter() - began
    return found


def _search(world: World, start: State, bound: Bound) -> Found:
    found = Found(states=1)
    horizon = start.instant + bound.horizon
    epoch = world.stores[start.redis].record.epoch
    seen = Seen()
    seen.add(start)
    parents = array("I", [0])
    steps: list[Move] = [Move("start")]
    frontier: list[tuple[int, State]] = [(0, start)]
    while frontier:
        if bound.depth and found.depth >= bound.depth:
            return found
        following: list[tuple[int, State]] = []
        for number, state in frontier:
            for move in moves(world, state, horizon):
                found.transitions += 1
                reached, broken = after(world, state, move)
                if not seen.add(reached) and not broken:
                    continue
                parents.append(number)
                steps.append(move)
                if broken:
                    found.broken, found.path = broken, _path(parents, steps)
                    found.states, found.depth = len(seen), found.depth + 1
                    return found
                following.append((len(parents) - 1, reached))
                found.successions += _succeeded(world, reached, epoch)
            if len(seen) >= bound.states:
                found.states, found.depth = len(seen), found.depth + 1
                return found
        found.states = len(seen)
        found.depth += bool(following)
        frontier = following
    found.exhausted = True
    return found


def _succeeded(world: World, state: State, epoch: int) -> bool:
    """Whether a node acts under a later epoch than that of the start."""
    for who in NODE_NUMBERS:
        if world.runs(who, state.sides[who]):
            standing = world.nodes.standing(who, state.sides[who], state.instant)
            if standing.acts and standing.epoch > epoch:
                return True
    return False


def _path(parents: array[int], steps: list[Move]) -> tuple[Move, ...]:
    path = []
    number = len(parents) - 1
    while number:
        path.append(steps[number])
        number = parents[number]
    return tuple(reversed(path))
