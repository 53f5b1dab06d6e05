"""How much may go wrong in one run. Each kind is a number of times; a run that has used all of it goes on without."""

from __future__ import annotations

from collections.abc import Mapping

#: From here on the order is free.
FREE = 99

#: Kind -> what one unit of it pays for.
KINDS: Mapping[str, str] = {
    "overtake": f"something happens before what was due or sent earlier; {FREE} or more: in any order, without counting",
    "late": "a message, vote write, Redis command or answer is held back beyond the instant (for ever: it is lost)",
    "doubled": "a message between sentinels, or a command, arrives twice",
    "disk": "a vote write fails, with or without having reached the disk",
    "unanswered": "a Redis client gives up waiting; its command may still be executed, then or later",
    "crash": "a sentinel or a node dies; a vote write under way has reached the disk, or has not",
    "restart": "a dead process starts again, a sentinel with its file",
    "pause": "a process stops for a while; resuming is free",
    "forget": "Redis loses all its data",
    "heal": "all cuts of the network end",
}
ORDER = tuple(KINDS)
OVERTAKE, LATE, DOUBLED, DISK, UNANSWERED, CRASH, RESTART, PAUSE, FORGET, HEAL = range(len(ORDER))

Budget = tuple[int, ...]
NOTHING: Budget = (0,) * len(ORDER)


def budget(given: Mapping[str, int], base: Budget = NOTHING) -> Budget:
    """ValueError for an unknown kind or a negative number."""
    unknown = sorted(set(given) - set(ORDER))
    if unknown:
        raise ValueError(f"unknown kind of fault {', '.join(unknown)}; known are {', '.join(ORDER)}")
    if any(number < 0 for number in given.values()):
        raise ValueError("a budget is not negative")
    return tuple(given.get(kind, known) for kind, known in zip(ORDER, base, strict=True))


def parse(text: str, base: Budget = NOTHING) -> Budget:
    """`late=1,crash=0`; kinds that are not named stay as in `base`."""
    given: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        kind, _, number = part.partition("=")
        if not number.isdigit():
            raise ValueError(f"{part!r} is not of the form kind=number")
        given[kind] = int(number)
    return budget(given, base)


def named(spent: Budget) -> dict[str, int]:
    """Only what is not zero."""
    return {kind: number for kind, number in zip(ORDER, spent, strict=True) if number}
