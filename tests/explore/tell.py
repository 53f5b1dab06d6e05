"""A path through the states as a conversation for people: each move one line, who does what and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ha_stress.cluster.mastership import Mastership
from tests.explore.moves import Move, after
from tests.explore.settings import PEOPLE, REDIS
from tests.explore.state import State
from tests.explore.things import Answered, Asked, Command, Said, Thing, Writing
from tests.explore.world import World
from tests.sim.conversation import brief

NAMES = (*PEOPLE, "redis")
WORDS = {
    "turn": "looks around: probes, reads the record, ticks",
    "reads": "follows a hint and reads the record",
    "acts": "acts as master: writes to the store and commands the others",
    "crash": "dies",
    "crash written": "dies; its vote write had reached the disk",
    "restart": "starts again",
    "pause": "is stopped",
    "resume": "goes on",
    "forget": "loses all its data",
    "heal": "the network is whole again",
}
FATES = {
    "arrives": "",
    "doubled": " (and once more later)",
    "fails": " fails: disk full",
    "renamed": " fails after it was renamed",
    "unanswered": " brings no answer",
}


def conversation(world: World, start: State, path: Iterable[Move], broken: Iterable[str]) -> Iterator[str]:
    """Line by line, ending with what was broken."""
    state = start
    for move in path:
        reached, _ = after(world, state, move)
        yield _line(world, state, move, reached)
        state = reached
    for sentence in broken:
        yield f"VIOLATION {sentence}"


def _line(world: World, before: State, move: Move, reached: State) -> str:
    if move.kind == "advance":
        return f"--- instant {reached.instant} ---"
    if move.kind in FATES:
        thing = world.things[move.what >> 1]
        who, what = _thing(thing)
        what += FATES[move.kind] + (" (late)" if move.what & 1 else "")
    else:
        who = {"forget": "redis", "heal": "fault"}.get(move.kind) or NAMES[move.what]
        what = WORDS[move.kind]
    changes = _changes(world, before, reached)
    return f"{before.instant:3} {who:<6} {what}" + (" -> " + "; ".join(changes) if changes else "")


def _thing(thing: Thing) -> tuple[str, str]:
    """Whom it reaches, and what it is."""
    match thing:
        case Said(sender, to, body):
            return NAMES[to], f"hears {brief(body)} of {NAMES[sender]}"
        case Writing(to, state):
            return NAMES[to], f"writes {brief(state)}"
        case Asked(sender, script, record):
            return NAMES[
                REDIS
            ], f"does {script} {brief(record)} for {NAMES[sender] if sender >= 0 else 'whoever it was'}"
        case Answered(to, asked, result):
            return NAMES[to], f"has the answer to {asked.script} {brief(asked.record)}: {_result(result)}"
        case Command(sender, to, assignment):
            return NAMES[to], f"is commanded by {NAMES[sender]} at epoch {assignment.epoch}"


def _result(result: object) -> str:
    match result:
        case None:
            return "none"
        case (bool(held), Mastership() as newest):
            return f"{'held' if held else 'refused'}, {brief(newest)} stands"
        case _:
            return brief(result)


def _changes(world: World, before: State, reached: State) -> list[str]:
    """What is different afterwards: who knows, leads or acts as what, what Redis has, what was sent."""
    changes = []
    old, new = world.stores[before.redis].record, world.stores[reached.redis].record
    if old != new:
        changes.append(f"redis has {brief(new)}")
    for who, name in enumerate(PEOPLE):
        if before.sides[who] != reached.sides[who]:
            was, now = (world.describe(who, state.sides[who], state.instant) for state in (before, reached))
            changes += [f"{name} {text}" for text in now if text not in was]
    known = {code >> 1 for code in before.pending}
    sent = [_sent(world.things[code >> 1]) for code in reached.pending if code >> 1 not in known]
    return changes + list(dict.fromkeys(text for text in sent if text))


def _sent(thing: Thing) -> str:
    match thing:
        case Said(_, to, body):
            return f"to {NAMES[to]}: {brief(body)}"
        case Writing(_, state):
            return f"to disk: {brief(state)}"
        case Asked(_, script, record):
            return f"to redis: {script} {brief(record)}"
        case Command(_, to):
            return f"a command to {NAMES[to]}"
        case _:
            return ""
