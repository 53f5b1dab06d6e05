"""Breadth-first search through all states that a start leads to, each visited once; a counterexample is a shortest one."""

from __future__ import annotations

import gc
import time
from array import array
from dataclasses import dataclass
from operator import ge
from struct import Struct

from tests.explore.budget import Budget
from tests.explore.moves import Move, after, moves
from tests.explore.shelf import Numbers
from tests.explore.state import NODE_NUMBERS, State
from tests.explore.world import World

#: A search stops here and says so: about 1 GB of states.
STATES_MAX = 4_000_000
PLACE = Struct("<BBBIIIIQ")


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


class Steps:
    """By which move from which earlier state each state was reached."""

    def __init__(self) -> None:
        self._from = array("I", [0])
        self._by = array("I", [0])
        self._moves: Numbers[Move] = Numbers()

    def add(self, number: int, move: Move) -> int:
        self._from.append(number)
        self._by.append(self._moves.of(move))
        return len(self._from) - 1

    def path(self, number: int) -> tuple[Move, ...]:
        path = []
        while number:
            path.append(self._moves[self._by[number]])
            number = self._from[number]
        return tuple(reversed(path))


class Seen:
    """The states that were visited, each with the budgets that were left when it was. A state that comes again with no more
    of any kind left than before is no news: whatever can happen after it could happen then."""

    def __init__(self) -> None:
        self._left: dict[bytes, Budget | list[Budget]] = {}
        self._sides: dict[tuple[int, ...], int] = {}
        self._pending: dict[tuple[int, ...], int] = {}
        self._budgets: dict[Budget, Budget] = {}

    def __len__(self) -> int:
        return len(self._left)

    def _place(self, state: State) -> bytes:
        """Where the world is, the budget apart, in a few bytes."""
        sides = self._sides.setdefault(state.sides, len(self._sides))
        pending = self._pending.setdefault(state.pending, len(self._pending))
        return PLACE.pack(
            state.instant, state.due, state.asleep, state.redis, state.history, sides, pending, state.cuts
        )

    def add(self, state: State) -> bool:
        """Returns whether it is news."""
        place = self._place(state)
        budget = self._budgets.setdefault(state.budget, state.budget)
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
    steps = Steps()
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
                here = steps.add(number, move)
                if broken:
                    found.broken, found.path = broken, steps.path(here)
                    found.states, found.depth = len(seen), found.depth + 1
                    return found
                following.append((here, reached))
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
