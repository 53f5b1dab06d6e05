"""Collect the facts: look at the registry for about two seconds, and ask every sentinel and node meanwhile.

    looks, records, INFO  <-- Redis      explanations <-- sentinels      does it take our secret? <-- nodes

Needs no living node: the command line collects by itself when none answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from ha_stress.base.clock import SystemClock
from ha_stress.base.errors import BusUnavailable, ProtocolError
from ha_stress.bus.client import Bus
from ha_stress.cluster.controls import NO_CONTROLS, Controls
from ha_stress.doctor.ask import ask_sentinels, dial_nodes
from ha_stress.doctor.facts import Asked, Dialled, Facts
from ha_stress.doctor.watched import Look, watched

#: Each sentinel describes itself once a second: two of the same id are seen to alternate.
LOOKING_S: Final = 2.0
#: Two processes that write shortly after each other are told apart only by looking in between.
LOOK_EVERY_S: Final = 0.05
#: Nodes are more, and tell more: each so many looks.
LOOKS_PER_NODE_LOOK: Final = 8
EVENTS_READ: Final = 1_000


async def collect(
    bus: Bus, secret: str, *, asked_by: str = "", asked_by_incarnation: str = "", database: str | None = None
) -> Facts:
    """Everything that can be known now; takes about LOOKING_S. Never raises for what does not answer."""
    known: dict[str, Any] = {
        "cluster": bus.keys.cluster,
        "redis": bus.where,
        "asked_by": asked_by,
        "asked_by_incarnation": asked_by_incarnation,
        "database": database,
    }
    try:
        our_skew_s = await _our_skew(bus)
        known |= {"our_skew_s": our_skew_s, "redis_time_s": SystemClock().wall() - our_skew_s}
        looks = [await _look(bus, our_skew_s)]
        found = await _meanwhile(bus, secret, looks, our_skew_s)
        known |= {
            "record": await bus.mastership(),
            "lease": await bus.lease_owner(),
            "server": await bus.server_facts(),
            "write_problem": await bus.write_problem(),
            "registered": await bus.registered(),
            "events": tuple(await bus.events(count=EVENTS_READ)),
        }
        known |= dict(zip(("controls", "controls_problem"), await _controls(bus), strict=True))
    except (BusUnavailable, ProtocolError) as error:
        return Facts(**known, redis_problem=str(error), redis_unreadable=isinstance(error, ProtocolError))
    return Facts(**known, **found, watched=watched(looks))


async def _meanwhile(bus: Bus, secret: str, looks: list[Look], our_skew_s: float) -> dict[str, Any]:
    """Go on looking, and ask the processes that the first look found."""
    asked: list[Asked] = []
    dialled: list[Dialled] = []
    first = looks[0]
    problems: list[Exception] = []

    async def guarded(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (BusUnavailable, ProtocolError) as error:
            problems.append(error)

    async def go_on_looking() -> None:
        until = trio.current_time() + LOOKING_S
        while trio.current_time() < until:
            await trio.sleep(LOOK_EVERY_S)
            looks.append(await _look(bus, our_skew_s, sentinels_only=len(looks) % LOOKS_PER_NODE_LOOK > 0))
        looks.append(await _look(bus, our_skew_s))

    async def ask() -> None:
        asked.extend(await ask_sentinels(first.sentinels, secret))

    async def dial() -> None:
        dialled.extend(await dial_nodes(first.nodes or (), secret))

    async with trio.open_nursery() as nursery:
        for work in (go_on_looking, ask, dial):
            nursery.start_soon(guarded, work)
    if problems:
        raise problems[0]
    return {"asked": tuple(asked), "dialled": tuple(dialled)}


async def _look(bus: Bus, our_skew_s: float, *, sentinels_only: bool = False) -> Look:
    sentinels = await bus.sentinels()
    nodes = None if sentinels_only else await bus.nodes()
    return Look(at_s=SystemClock().wall() - our_skew_s, sentinels=sentinels, nodes=nodes)


async def _our_skew(bus: Bus) -> float:
    """How far our clock is ahead of that of Redis, give or take half of a round trip."""
    await (
        bus.mastership()
    )  # so that the answer below does not pay for connecting, and an unreadable record is told at once
    clock = SystemClock()
    before = clock.wall()
    theirs = await bus.server_time()
    return (before + clock.wall()) / 2 - theirs


async def _controls(bus: Bus) -> tuple[Controls, str]:
    try:
        return await bus.controls(), ""
    except ProtocolError as error:
        return NO_CONTROLS, str(error)
