"""What can happen next in a state, and the state after it. A move is a kind and a number: a process, or a thing under way.

Reductions, each with the reason why nothing is lost by it:
  - A master writes and commands once an instant at most; a second write of the same mastership repeats the first.
  - Losing a message needs no move of its own: it is one that is held back (and paid for as late) and then never arrives.
  - A vote write is durable and acknowledged in one move: between the two only the disk of one sentinel differs, and the one
    event that can tell, its death, is a move in both variants.
  - Published messages are not under way one by one: whoever does not know the newest record may read it at any time, which
    is what a hint that arrives leads to; a hint that is lost is a read that never happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ha_stress.wire.messages import Views
from tests.explore.budget import (
    CRASH,
    DISK,
    DOUBLED,
    FORGET,
    FREE,
    HEAL,
    LATE,
    ORDER,
    OVERTAKE,
    PAUSE,
    RESTART,
    UNANSWERED,
)
from tests.explore.redis import Stored
from tests.explore.settings import MAJORITY, PEOPLE, REDIS
from tests.explore.state import NODE_NUMBERS, SENTINEL_NUMBERS, Draft, State
from tests.explore.things import Answered, Asked, Command, Said, Writing
from tests.explore.world import World

NOBODY_IN_PARTICULAR = -1


class Move(NamedTuple):
    """`price` is what it costs of the budget for overtaking."""

    kind: str
    what: int = NOBODY_IN_PARTICULAR
    price: int = 0


def moves(world: World, state: State, horizon: int) -> Iterator[Move]:
    """All that can happen, always in the same order."""
    draft = Draft(world, state)
    alive = [who for who in range(len(PEOPLE)) if draft.alive(who)]
    awake = [who for who in alive if not state.asleep >> who & 1]
    ordinary = [*_ordinary(world, draft, awake)]
    overtaking = state.budget[OVERTAKE]
    if overtaking >= FREE:
        yield from ordinary
    else:
        yield from ordinary[:1]
        if overtaking:
            for kind, what, _ in ordinary[1:]:
                yield Move(kind, what, 1)
    for code in state.pending:
        if code & 1 and world.things[code >> 1].to in (*awake, REDIS):
            yield Move("arrives", code)  # a straggler comes when it comes
    yield from _of_things(world, state, awake)
    yield from _of_fate(world, state, alive, awake)
    if state.instant < horizon and _may_advance(world, state, awake):
        yield Move("advance")


def _ordinary(world: World, draft: Draft, awake: list[int]) -> Iterator[Move]:
    """What happens without any fault, first the first: turns and writes of a master, then what was sent, in the order of
    sending, then what a hint leads to."""
    for who in awake:
        if draft.due >> who & 1:
            yield Move("turn", who)
    for who in awake:
        if who in NODE_NUMBERS and world.nodes.standing(who, draft.sides[who], draft.instant).may_write:
            yield Move("acts", who)
    for code in draft.pending:
        if not code & 1 and world.things[code >> 1].to in (*awake, REDIS):
            yield Move("arrives", code)
    newest = world.stores[draft.redis].record.epoch
    for who in awake:
        if world.knows(who, draft.sides[who], draft.instant) < newest and draft.joined(who, REDIS):
            yield Move("reads", who)


def _of_things(world: World, state: State, awake: list[int]) -> Iterator[Move]:
    """What may go wrong with the things under way."""
    budget = state.budget
    if not (budget[UNANSWERED] or budget[DISK] or budget[DOUBLED]):
        return
    for code in state.pending:
        thing = world.things[code >> 1]
        match thing:
            case Asked(sender=sender) if budget[UNANSWERED] and sender in awake:
                yield Move("unanswered", code)
            case Answered(result=result) if budget[UNANSWERED] and result is not None and thing.to in awake:
                yield Move("unanswered", code)
            case Writing() if budget[DISK] and thing.to in awake:
                yield Move("fails", code)
                yield Move("renamed", code)
            case Said(body=body) if budget[DOUBLED] and not isinstance(body, Views) and thing.to in awake:
                yield Move("doubled", code)
            case Command() if budget[DOUBLED] and thing.to in awake:
                yield Move("doubled", code)
            case _:
                pass


def _of_fate(world: World, state: State, alive: list[int], awake: list[int]) -> Iterator[Move]:
    if state.budget[CRASH]:
        for who in alive:
            yield Move("crash", who)
            if any(_is_writing(world, code, who) for code in state.pending):
                yield Move("crash written", who)
    if state.budget[RESTART]:
        for who in range(len(PEOPLE)):
            if who not in alive:
                yield Move("restart", who)
    for who in alive:
        if who not in awake:
            yield Move("resume", who)
        elif state.budget[PAUSE]:
            yield Move("pause", who)
    if state.budget[FORGET] and world.stores[state.redis] != Stored():
        yield Move("forget")
    if state.budget[HEAL] and state.cuts:
        yield Move("heal")


def _is_writing(world: World, code: int, who: int) -> bool:
    thing = world.things[code >> 1]
    return isinstance(thing, Writing) and thing.to == who


def _may_advance(world: World, state: State, awake: list[int]) -> bool:
    if any(state.due >> who & 1 for who in awake):
        return False
    return sum(_is_late(world, state, code) for code in state.pending) <= state.budget[LATE]


def _is_late(world: World, state: State, code: int) -> bool:
    """Whether it must be paid for if this instant ends. What waits for a process that is asleep is not late."""
    return not code & 1 and not (world.things[code >> 1].to < REDIS and state.asleep >> world.things[code >> 1].to & 1)


# --- the state after a move ---


def after(world: World, state: State, move: Move) -> tuple[State, tuple[str, ...]]:
    """The next state, and the invariants that are broken in it or by the move."""
    draft = Draft(world, state)
    who = code = move.what
    if move.price:
        draft.spend(OVERTAKE, move.price)
    match move.kind:
        case "turn":
            world.turn(draft, who)
        case "arrives":
            draft.pending.remove(code)
            world.arrive(draft, code >> 1)
        case "doubled":
            draft.spend(DOUBLED)
            world.arrive(draft, code >> 1)
        case "reads":
            world.read(draft, who)
        case "acts":
            _act(world, draft, who)
        case "fails" | "renamed":
            _fail(world, draft, code, renamed=move.kind == "renamed")
        case "unanswered":
            _give_up(world, draft, code)
        case "advance":
            _advance(world, state, draft)
        case _:
            _befall(world, draft, move)
    after_it = draft.seal()
    return after_it, draft.broken + world.broken_now(after_it)


def _act(world: World, draft: Draft, who: int) -> None:
    reached = [other for other in NODE_NUMBERS if other != who and draft.alive(other) and draft.joined(who, other)]
    others = tuple((other, world.nodes.sides[draft.sides[other]].life) for other in reached)
    draft.settle(who, world.nodes.act(who, draft.sides[who], draft.instant, others))


def _fail(world: World, draft: Draft, code: int, *, renamed: bool) -> None:
    draft.spend(DISK)
    draft.pending.remove(code)
    thing = world.things[code >> 1]
    assert isinstance(thing, Writing)
    who = thing.to
    reaction = world.sentinels.not_saved(who, draft.sides[who], draft.instant, thing.state, renamed=renamed)
    draft.settle(who, reaction)


def _give_up(world: World, draft: Draft, code: int) -> None:
    draft.spend(UNANSWERED)
    draft.pending.remove(code)
    thing = world.things[code >> 1]
    asked = thing.asked if isinstance(thing, Answered) else thing
    assert isinstance(asked, Asked)
    if thing is asked:
        draft.add(draft.orphan(asked) << 1 | code & 1)
    world.arrive(draft, world.things.of(Answered(asked.sender, asked, None)))


def _advance(world: World, state: State, draft: Draft) -> None:
    late = [code for code in state.pending if _is_late(world, state, code)]
    if late:
        draft.spend(LATE, len(late))
        draft.pending = []
        for code in state.pending:
            draft.add(code | 1 if code in late else code)
    draft.instant += 1
    draft.due = (1 << len(PEOPLE)) - 1


def _befall(world: World, draft: Draft, move: Move) -> None:
    who = move.what
    match move.kind:
        case "crash" | "crash written":
            draft.spend(CRASH)
            _crash(world, draft, who, written=move.kind == "crash written")
        case "restart":
            draft.spend(RESTART)
            restart(world, draft, who)
        case "pause":
            draft.spend(PAUSE)
            draft.asleep |= 1 << who
        case "resume":
            draft.asleep &= ~(1 << who)
        case "forget":
            draft.spend(FORGET)
            record = world.stores[draft.redis].record
            disks = [world.sentinels.sides[draft.sides[s]].disk.record.epoch for s in SENTINEL_NUMBERS]
            durable = sum(epoch >= record.epoch for epoch in disks)
            draft.note_now("redis_forgot", record, durable, MAJORITY)
            draft.redis = world.stores.of(Stored())
        case "heal":
            draft.spend(HEAL)
            draft.cuts = 0
        case _:
            raise ValueError(f"unknown move {move.kind}; budgets are {', '.join(ORDER)}")


def _crash(world: World, draft: Draft, who: int, *, written: bool) -> None:
    if who in NODE_NUMBERS:
        reaction = world.nodes.die(draft.sides[who])
    else:
        writes = [world.things[code >> 1] for code in draft.pending if _is_writing(world, code, who)]
        state = writes[0].state if written and isinstance(writes[0], Writing) else None
        reaction = world.sentinels.die(who, draft.sides[who], state)
    draft.forget_things_of(who)
    draft.asleep &= ~(1 << who)
    draft.settle(who, reaction)


def restart(world: World, draft: Draft, who: int) -> None:
    draft.due |= 1 << who
    if who in NODE_NUMBERS:
        draft.sides[who] = world.nodes.start(who, world.nodes.sides[draft.sides[who]].life, draft.instant)
    else:
        was = world.sentinels.sides[draft.sides[who]]
        draft.sides[who] = world.sentinels.start(who, was.disk, was.life, draft.instant)
