"""Where the explorations begin. Each start is reached from nothing by moves of the same world, so it can really be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ha_stress.wire.messages import PreVoteRequest, Views
from tests.explore.budget import NOTHING, ORDER, Budget, named, parse
from tests.explore.moves import Move, after, moves
from tests.explore.search import Bound
from tests.explore.state import NODE_NUMBERS, SENTINEL_NUMBERS, State, cut_bit
from tests.explore.things import Asked, Command, Said, Thing
from tests.explore.world import World

N1, N2 = NODE_NUMBERS
S1, S2, S3 = SENTINEL_NUMBERS
PLENTY: Budget = (9,) * len(ORDER)
SETTLED_AT = 2
PATIENCE = 200


class Stage:
    """A world that is brought into a state by hand."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.state = world.beginning(NOTHING)
        self.until(lambda: self.state.instant == SETTLED_AT)

    def do(self, kind: str, what: int = -1) -> None:
        """One move, paid by nobody."""
        state = self.state._replace(budget=PLENTY)
        reached, broken = after(self.world, state, Move(kind, what))
        self.state = reached._replace(budget=NOTHING)
        self._sound(broken)

    def go_on(self) -> None:
        """Whatever comes first; who sleeps, sleeps on."""
        possible = moves(self.world, self.state, self.state.instant + 1)
        move = next(move for move in possible if move.kind != "resume")
        self.do(move.kind, move.what)

    def until(self, wanted: Callable[[], bool]) -> None:
        for _ in range(PATIENCE):
            if wanted():
                return
            self.go_on()
        raise AssertionError("this stage of the play is never reached")

    def deliver(self, wanted: Callable[[Thing], bool]) -> None:
        """Everything of this kind that is under way arrives, in the order of sending."""
        for code in self.state.pending:
            if wanted(self.world.things[code >> 1]) and code in self.state.pending:
                self.do("arrives", code)

    def turns(self, *people: int) -> None:
        for who in people:
            self.do("turn", who)

    def cut(self, *pairs: tuple[int, int]) -> None:
        for a, b in pairs:
            self.state = self.state._replace(cuts=self.state.cuts | cut_bit(a, b) | cut_bit(b, a))

    def has(self, wanted: Callable[[Thing], bool]) -> bool:
        return any(wanted(self.world.things[code >> 1]) for code in self.state.pending)

    @staticmethod
    def _sound(broken: tuple[str, ...]) -> None:
        assert not broken, broken


def master_dead(stage: Stage) -> None:
    """The master has just been killed; nobody has noticed."""
    stage.do("crash", N1)


def two_candidates(stage: Stage) -> None:
    """The master is dead, all see it, and two sentinels ask for pre-votes at the same time."""
    master_dead(stage)
    stage.turns(*range(S1, S3 + 1), N2)
    stage.deliver(lambda thing: isinstance(thing, Said) and (thing.sender, thing.to) in ((S1, S2), (S2, S1)))
    stage.deliver(_views)
    assert stage.has(_asks_of(S1)) and stage.has(_asks_of(S2))


def master_cut_off(stage: Stage) -> None:
    """The master has Redis, its lease and one sentinel; the other two and the worker do not reach it, and their patience
    ends now."""
    stage.cut((N1, S1), (N1, S2), (N1, N2))
    stage.until(lambda: stage.state.instant == SETTLED_AT + 1)


def master_paused(stage: Stage) -> None:
    """The master was stopped while it had its lease; the sentinels' patience ends now."""
    stage.until(lambda: not stage.state.due and not stage.state.pending)
    stage.do("pause", N1)
    stage.until(lambda: stage.state.instant == SETTLED_AT + 2)


def redis_empty(stage: Stage) -> None:
    """The master is dead, and Redis came back without its data; the record is in the files of the sentinels only. The other
    node starts anew."""
    stage.until(lambda: not stage.state.due and not stage.state.pending)
    stage.do("crash", N1)
    stage.do("crash", N2)
    stage.do("forget")
    stage.do("advance")
    stage.do("restart", N2)


def voter_restarts(stage: Stage) -> None:
    """The first candidate has the votes that it needs on the disks, and has not heard of them; a voter has died since."""
    two_candidates(stage)
    stage.until(lambda: _votes_on_disk(stage) >= 2)
    stage.do("crash", S2)


def award_under_way(stage: Stage) -> None:
    """A leader was elected, and its award has not reached Redis yet."""
    master_dead(stage)
    stage.until(lambda: stage.has(lambda thing: isinstance(thing, Asked) and thing.script == "award"))


def sentinel_stalled(stage: Stage) -> None:
    """The master is dead and all have seen it; then a sentinel was stopped for so long that it must distrust itself."""
    two_candidates(stage)
    stage.do("pause", S3)
    stage.until(lambda: stage.state.instant == SETTLED_AT + 2)


def first_race(stage: Stage) -> None:
    """The very beginning: nobody is master, both nodes have started."""
    stage.state = stage.world.beginning(NOTHING)


def command_under_way(stage: Stage) -> None:
    """The first master has acted, and was killed while its command to the worker was under way."""
    stage.state = stage.world.beginning(NOTHING)
    stage.until(lambda: stage.has(lambda thing: isinstance(thing, Command)))
    stage.do("crash", N1)


def _views(thing: Thing) -> bool:
    return isinstance(thing, Said) and isinstance(thing.body, Views)


def _asks_of(sender: int) -> Callable[[Thing], bool]:
    return lambda thing: isinstance(thing, Said) and thing.sender == sender and isinstance(thing.body, PreVoteRequest)


def _votes_on_disk(stage: Stage) -> int:
    disks = [stage.world.sentinels.sides[stage.state.sides[who]].disk for who in SENTINEL_NUMBERS]
    return sum(disk.voted_epoch > 1 for disk in disks)


STARTS: Mapping[str, Callable[[Stage], None]] = {
    stage.__name__.replace("_", " "): stage
    for stage in (
        first_race,
        master_dead,
        two_candidates,
        voter_restarts,
        award_under_way,
        master_cut_off,
        master_paused,
        sentinel_stalled,
        redis_empty,
        command_under_way,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """A start and how far to go from it: how much may go wrong, and how long."""

    start: str
    budget: Budget
    bound: Bound

    @property
    def name(self) -> str:
        faults = ", ".join(f"{kind} {number}" for kind, number in named(self.budget).items())
        return f"{self.start} ({faults or 'no faults'})"

    def begin(self, world: World) -> State:
        stage = Stage(world)
        STARTS[self.start](stage)
        return stage.state._replace(budget=self.budget)


def exploration(start: str, faults: str, horizon: int, depth: int = 0) -> Exploration:
    return Exploration(start=start, budget=parse(faults), bound=Bound(horizon=horizon, depth=depth))
