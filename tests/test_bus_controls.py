"""The operator's record, against real servers of both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio

from ha_stress.base.errors import ProtocolError
from ha_stress.bus.client import Bus, Hint, Resubscribed, open_bus
from ha_stress.cluster.controls import NO_CONTROLS, Controls, Membership, Switchover, Tags, pause, resume
from ha_stress.wire.codec import encode
from tests.redis_server import any_redis_url, cluster, debian_redis, expect, plain_client, valkey

__all__ = ["any_redis_url", "cluster", "debian_redis", "valkey"]

EVERYTHING = Controls(
    revision=7,
    paused=True,
    pause_why="the switch is replaced; ça ira",
    switchover=Switchover(epoch=3, asked=6, to="n2"),
    membership=Membership(version=2, members=("s1", "s2", "s3", "s4"), floor=9),
    tags={"n1": Tags(priority=0), "n2": Tags(draining=True), "n3": Tags(priority=5, draining=True)},
)


@pytest.fixture
async def bus(any_redis_url: str, cluster: str) -> AsyncIterator[Bus]:
    async with open_bus(any_redis_url, cluster) as bus:
        yield bus


async def test_a_fresh_cluster_has_no_controls(bus: Bus) -> None:
    assert await bus.controls() == NO_CONTROLS


async def test_every_field_comes_back_as_it_was_set(bus: Bus) -> None:
    assert await bus.set_controls(0, EVERYTHING) == (True, EVERYTHING)
    assert await bus.controls() == EVERYTHING
    bare = replace(EVERYTHING, revision=8, switchover=None, tags={}, membership=Membership())
    assert await bus.set_controls(7, bare) == (True, bare)
    assert await bus.controls() == bare


async def test_a_change_of_a_record_that_its_author_has_not_seen_is_refused_and_told_what_stands(bus: Bus) -> None:
    first = pause(NO_CONTROLS, "mine")
    other = pause(NO_CONTROLS, "theirs")
    assert await bus.set_controls(0, first) == (True, first)
    assert await bus.set_controls(0, other) == (False, first)
    assert await bus.set_controls(5, replace(other, revision=6)) == (False, first)
    assert await bus.controls() == first


async def test_setting_what_stands_already_counts_as_written(bus: Bus) -> None:
    first = pause(NO_CONTROLS, "mine")
    assert await bus.set_controls(0, first) == (True, first)
    assert await bus.set_controls(0, first) == (True, first)


async def test_of_ten_writers_at_once_each_gets_its_change_in(bus: Bus, any_redis_url: str) -> None:
    async def tag_node(name: str) -> None:
        async with open_bus(any_redis_url, bus.keys.cluster) as mine:
            stands = await mine.controls()
            while True:
                wanted = replace(stands, revision=stands.revision + 1, tags={**stands.tags, name: Tags(draining=True)})
                written, stands = await mine.set_controls(stands.revision, wanted)
                if written:
                    return

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for index in range(10):
                nursery.start_soon(tag_node, f"n{index}")
    stands = await bus.controls()
    assert stands.revision == 10
    assert set(stands.tags) == {f"n{index}" for index in range(10)}


async def test_a_change_is_hinted_at_on_its_channel_and_a_refused_one_is_not(bus: Bus) -> None:
    paused = pause(NO_CONTROLS, "")
    async with bus.subscribe(bus.keys.controls_channel) as hints:
        await expect(hints, Resubscribed())
        await bus.set_controls(0, paused)
        await expect(hints, Hint(bus.keys.controls_channel, b"1"))
        await bus.set_controls(0, replace(paused, pause_why="too late"))
        await bus.set_controls(1, resume(paused))
        with trio.fail_after(5):
            assert await hints.receive() == Hint(bus.keys.controls_channel, b"2")


async def test_a_repair_writes_only_what_is_newer_and_hints_at_it(bus: Bus) -> None:
    async with bus.subscribe(bus.keys.controls_channel) as hints:
        await expect(hints, Resubscribed())
        assert await bus.repair_controls(EVERYTHING)
        await expect(hints, Hint(bus.keys.controls_channel, b"7"))
    assert not await bus.repair_controls(EVERYTHING)
    assert not await bus.repair_controls(replace(EVERYTHING, revision=6, paused=False))
    assert not await bus.repair_controls(NO_CONTROLS)
    assert await bus.controls() == EVERYTHING


async def test_nothing_is_repaired_with_nothing(bus: Bus) -> None:
    assert not await bus.repair_controls(NO_CONTROLS)
    assert await bus.controls() == NO_CONTROLS


@pytest.mark.parametrize(
    "fields",
    [
        {"revision": "1", "record": b"what is this"},
        {"revision": "1"},
        {"record": encode(EVERYTHING)},
        {"revision": "8", "record": encode(EVERYTHING)},
        {"revision": "1", "record": encode(Tags())},
        {"revision": "7", "record": encode(replace(EVERYTHING, membership=Membership(floor=1 << 60)))},
        {"revision": "7", "record": encode(replace(EVERYTHING, switchover=Switchover(epoch=-1, asked=1)))},
        {"revision": str(1 << 60), "record": encode(replace(EVERYTHING, revision=1 << 60))},
    ],
)
async def test_a_record_that_cannot_be_read_is_a_protocol_error(
    bus: Bus, any_redis_url: str, fields: dict[str, str | bytes]
) -> None:
    plain_client(any_redis_url).hset(bus.keys.controls, mapping=fields)
    with pytest.raises(ProtocolError):
        await bus.controls()


async def test_a_revision_that_is_no_number_is_never_overwritten(bus: Bus, any_redis_url: str) -> None:
    client = plain_client(any_redis_url)
    client.hset(bus.keys.controls, mapping={"revision": "many", "record": b""})
    for call in (
        lambda: bus.controls(),
        lambda: bus.set_controls(0, EVERYTHING),
        lambda: bus.repair_controls(EVERYTHING),
    ):
        with pytest.raises(ProtocolError, match="revision"):
            await call()
    assert client.hget(bus.keys.controls, "revision") == b"many"


async def test_a_key_of_another_type_is_a_protocol_error(bus: Bus, any_redis_url: str) -> None:
    plain_client(any_redis_url).set(bus.keys.controls, "7")
    for call in (
        lambda: bus.controls(),
        lambda: bus.set_controls(0, EVERYTHING),
        lambda: bus.repair_controls(EVERYTHING),
    ):
        with pytest.raises(ProtocolError):
            await call()
