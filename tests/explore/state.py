"""A state of the world, and a draft of the next one. All parts are numbers of things that are kept once, so a state is small
and two states are equal exactly if they are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.explore.budget import FREE, OVERTAKE, Budget
from tests.explore.sentinel_side import Reaction
from tests.explore.settings import NODES, NUMBER, REDIS, SENTINELS
from tests.explore.things import Answered, Asked, Said

if TYPE_CHECKING:
    from tests.explore.world import World

SENTINEL_NUMBERS = tuple(NUMBER[name] for name in SENTINELS)
NODE_NUMBERS = tuple(NUMBER[name] for name in NODES)


def cut_bit(a: int, b: int) -> int:
    """The direction from a to b in the mask of cuts."""
    return 1 << (a * (REDIS + 1) + b)


class State(NamedTuple):
    """`pending` are codes in the order of sending: the number of a thing twice, and one more if its lateness has been paid
    for. Where order is free they are sorted. `due` (this instant's turn is still to come) and `asleep` are masks of people,
    `cuts` one of directions. `budget` is the last field: the rest without it is where the world is."""

    instant: int
    sides: tuple[int, ...]
    redis: int
    pending: tuple[int, ...]
    history: int
    due: int
    asleep: int
    cuts: int
    budget: Budget


class Draft:
    """A state that is being changed by one move. `broken` collects the sentences that the move has broken."""

    __slots__ = (
        "asleep",
        "broken",
        "budget",
        "cuts",
        "due",
        "history",
        "instant",
        "pending",
        "redis",
        "sides",
        "world",
    )

    def __init__(self, world: World, state: State) -> None:
        self.world = world
        self.instant = state.instant
        self.sides = list(state.sides)
        self.redis = state.redis
        self.pending = list(state.pending)
        self.history = state.history
        self.budget = state.budget
        self.due = state.due
        self.asleep = state.asleep
        self.cuts = state.cuts
        self.broken: tuple[str, ...] = ()

    def seal(self) -> State:
        return State(
            self.instant,
            tuple(self.sides),
            self.redis,
            tuple(sorted(self.pending) if self.budget[OVERTAKE] >= FREE else self.pending),
            self.history,
            self.due,
            self.asleep,
            self.cuts,
            self.budget,
        )

    def alive(self, who: int) -> bool:
        return self.world.runs(who, self.sides[who])

    def awake(self, who: int) -> bool:
        return not self.asleep >> who & 1 and self.alive(who)

    def joined(self, a: int, b: int) -> bool:
        """Whether both directions are open."""
        return not self.cuts & (cut_bit(a, b) | cut_bit(b, a))

    def spend(self, kind: int, times: int = 1) -> None:
        left = list(self.budget)
        left[kind] -= times
        assert left[kind] >= 0
        self.budget = tuple(left)

    # --- what a step leads to ---

    def settle(self, who: int, reaction: Reaction) -> None:
        self.sides[who] = reaction.side
        for note in reaction.notes:
            self.note(note)
        for thing in reaction.things:
            self.send(thing)

    def note(self, number: int) -> None:
        self.history, broken = self.world.histories.note(self.history, number)
        self.broken += broken

    def note_now(self, name: str, *given: object) -> None:
        self.note(self.world.histories.notes.of((name, given)))

    def send(self, number: int) -> None:
        """Put something under way, if there is a way and somebody at its end."""
        world = self.world
        thing = world.things[number]
        if isinstance(thing, Said):
            if self.cuts & cut_bit(thing.sender, thing.to) or not self.alive(thing.to):
                return
            if (slot := world.slot(number)) >= 0:
                self.pending = [code for code in self.pending if code & 1 or world.slot(code >> 1) != slot]
                if world.is_repetition(thing, self.sides[thing.to]):
                    return
        elif isinstance(thing, Asked) and thing.sender >= 0 and not self.joined(thing.sender, REDIS):
            number = world.things.of(Answered(thing.sender, thing, None))
        self.add(number << 1)

    def add(self, code: int) -> None:
        """Of two equal things under way one is enough: that one may arrive twice is a fault of its own."""
        if code not in self.pending:
            self.pending.append(code)

    def forget_things_of(self, who: int) -> None:
        """A process died: what was on its way to it is lost with its connections; what it asked of Redis may yet be done."""
        world = self.world
        pending, self.pending = self.pending, []
        for code in pending:
            thing = world.things[code >> 1]
            if isinstance(thing, Asked) and thing.sender == who:
                self.add(self.orphan(thing) << 1 | code & 1)
            elif thing.to != who:
                self.add(code)

    def orphan(self, asked: Asked) -> int:
        """A command for whose answer nobody waits any more."""
        return self.world.things.of(Asked(-1, asked.script, asked.record, 0))
