"""What goes wrong with Redis and must end nothing: memory, rights, replicas, and keys that hold something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from ha_stress.base.errors import BusUnavailable, ConfigError, HaStressError, ProtocolError
from ha_stress.base.limits import EPOCH_MAX
from ha_stress.bus.attempts import Attempts
from ha_stress.bus.client import Bus, open_bus
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.bus.outbox import Outbox
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.tasks.schedule import NodeAssignment
from tests.redis_server import cluster, eventually, own_valkey, plain_client, valkey

__all__ = ["cluster", "own_valkey", "valkey"]

FIRST = Mastership(epoch=1, node="a", incarnation="1", why="test")


async def attempt_all(bus: Bus) -> list[HaStressError]:
    """A script, a single command, a transaction: what each of them raises."""
    assignment = NodeAssignment(node="a", incarnation="1", epoch=1, revision=1)
    raised = []
    for call in (
        bus.hold_lease(FIRST, 3.0),
        bus.announce_award(FIRST, source="s1"),
        bus.assign_all(FIRST, [assignment]),
    ):
        try:
            await call
        except HaStressError as error:
            raised.append(error)
    return raised


@pytest.mark.parametrize(
    ("settings", "undone", "says"),
    [
        ({"maxmemory": "1"}, {"maxmemory": "0"}, "maxmemory is used up"),
        ({"min-replicas-to-write": "3"}, {"min-replicas-to-write": "0"}, "NOREPLICAS"),
    ],
)
async def test_a_server_that_takes_no_writes_for_a_while_cannot_serve_however_it_is_asked(
    own_valkey: EmbeddedRedis, cluster: str, settings: dict[str, str], undone: dict[str, str], says: str
) -> None:
    outsider = plain_client(own_valkey.url)
    async with open_bus(own_valkey.url, cluster) as bus:
        await bus.repair(FIRST)
        assert await attempt_all(bus) == []
        for name, value in settings.items():
            outsider.config_set(name, value)
        raised = await attempt_all(bus)
        assert [type(error) for error in raised] == [BusUnavailable] * 3
        assert all(says in str(error) for error in raised), raised
        assert says in await bus.write_problem() and await bus.mastership() == FIRST
        for name, value in undone.items():
            outsider.config_set(name, value)
        assert await attempt_all(bus) == [] and not await bus.write_problem()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda client, key: (client.delete(key), client.set(key, "text")),
        lambda client, key: client.hset(key, "epoch", "many"),
        lambda client, key: client.hset(key, "epoch", str(EPOCH_MAX + 1)),
        lambda client, key: client.hset(key, "epoch", "-1"),
        lambda client, key: client.hdel(key, "epoch"),
    ],
)
async def test_a_mastership_record_that_cannot_be_read_is_named_by_its_key_and_never_adopted(
    valkey: EmbeddedRedis, cluster: str, spoil: Callable[[Any, str], Any]
) -> None:
    async with open_bus(valkey.url, cluster) as bus:
        await bus.repair(FIRST)
        spoil(plain_client(valkey.url), bus.keys.mastership)
        for call in (bus.mastership(), bus.claim_first("b", "2", 3.0), bus.hold_lease(FIRST, 3.0)):
            with pytest.raises(ProtocolError, match="mastership"):
                await call
        with pytest.raises(ProtocolError, match=bus.keys.mastership):
            await bus.mastership()
        plain_client(valkey.url).delete(bus.keys.mastership)
        assert await bus.mastership() == NOBODY


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **_: self.lines.append((level, event))


async def answer(value: object) -> object:
    await trio.lowlevel.checkpoint()
    if isinstance(value, Exception):
        raise value
    return value


async def test_a_trouble_is_said_when_it_begins_when_it_becomes_another_and_when_it_is_over() -> None:
    log: Any = Lines()
    attempts = Attempts(log)
    away, foreign = BusUnavailable("away"), ProtocolError("not ours")
    answers = [await attempts.make("ask", answer(one)) for one in (away, away, foreign, foreign, 0, 7)]
    assert answers == [None, None, None, None, 0, 7]
    assert log.lines == [
        ("warning", "could not ask"),
        ("debug", "could not ask"),
        ("warning", "could not ask"),
        ("debug", "could not ask"),
        ("info", "could ask again"),
    ]


async def test_another_error_is_not_taken_for_a_trouble_with_redis() -> None:
    with pytest.raises(ConfigError):
        await Attempts(Lines()).make("ask", answer(ConfigError("wrong")))  # type: ignore[arg-type]


async def test_an_event_that_cannot_be_written_is_counted_as_lost_and_holds_up_no_other(
    valkey: EmbeddedRedis, cluster: str
) -> None:
    async with open_bus(valkey.url, cluster) as bus, trio.open_nursery() as nursery:
        outsider = plain_client(valkey.url)
        outsider.set(bus.keys.events, "text")
        outbox = Outbox(bus, "s1")
        nursery.start_soon(outbox.run)
        for _ in range(2):
            outbox.say(Event(name="+tilt", source="s1", epoch=3))

        async def all_are_dropped() -> bool:
            return outbox.dropped == 2 and not outbox.waiting

        async def all_are_told() -> bool:
            return len(await bus.events()) == 2

        await eventually(all_are_dropped, "both are given up")
        outsider.delete(bus.keys.events)
        outbox.say(Event(name="-tilt", source="s1", epoch=3))
        await eventually(all_are_told, "the next one, and that some were lost")
        told = [(event.name, event.detail) for event in await bus.events()]
        assert told == [("-tilt", {}), ("+events-lost", {"lost": 2})]
        nursery.cancel_scope.cancel()
