"""The mastership record and its lease, against real servers of both kinds."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator

import pytest
import trio

from ha_stress.base.errors import BusUnavailable, ConfigError, ProtocolError
from ha_stress.bus.client import AwardAnswer, Bus, Hint, LeaseAnswer, Resubscribed, open_bus
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.bus.mastership import AWARD_TICKET_S
from ha_stress.cluster.mastership import NOBODY, Mastership
from tests.redis_server import (
    any_redis_url,
    cluster,
    debian_redis,
    eventually,
    expect,
    own_valkey,
    plain_client,
    valkey,
)

__all__ = ["any_redis_url", "cluster", "debian_redis", "own_valkey", "valkey"]


def record(epoch: int, node: str = "a", incarnation: str = "1", why: str = "test") -> Mastership:
    return Mastership(epoch=epoch, node=node, incarnation=incarnation, why=why)


@pytest.fixture
async def bus(any_redis_url: str, cluster: str) -> AsyncIterator[Bus]:
    async with open_bus(any_redis_url, cluster) as bus:
        yield bus


async def test_a_fresh_cluster_has_no_master_and_no_lease(bus: Bus) -> None:
    assert await bus.mastership() == NOBODY
    assert await bus.lease_owner() == ""
    assert await bus.failovers() == {}


async def test_of_twenty_claimers_at_once_exactly_one_becomes_the_first_master(bus: Bus, any_redis_url: str) -> None:
    answers: dict[str, Mastership] = {}

    async def claim(index: int) -> None:
        async with open_bus(any_redis_url, bus.keys.cluster) as mine:
            answers[f"n{index}"] = await mine.claim_first(f"n{index}", "x", 3.0)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for index in range(20):
                nursery.start_soon(claim, index)
    assert len(answers) == 20
    assert len(set(answers.values())) == 1, "all claimers must be told the same record"
    winner = answers["n0"]
    assert winner.epoch == 1
    assert await bus.lease_owner() == f"1:{winner.node}:x"
    assert await bus.mastership() == winner


async def test_a_claim_never_gives_epoch_1_when_a_record_exists_even_without_a_lease(bus: Bus) -> None:
    await bus.repair(record(7))
    assert await bus.claim_first("b", "2", 3.0) == record(7)
    assert await bus.lease_owner() == ""


async def test_a_claim_waits_for_a_lease_that_outlived_its_record(bus: Bus, any_redis_url: str) -> None:
    plain_client(any_redis_url).set(bus.keys.lease, "4:z:9")
    assert await bus.claim_first("b", "2", 3.0) == NOBODY
    assert await bus.mastership() == NOBODY


async def test_only_the_process_that_the_record_names_holds_the_lease(bus: Bus) -> None:
    strangers = (record(3, "b"), record(3, "a", "2"), record(2), record(4))
    await bus.repair(record(3))
    for stranger in strangers:
        assert await bus.hold_lease(stranger, 3.0) == LeaseAnswer(held=False, newest=record(3))
    assert await bus.lease_owner() == ""
    assert await bus.hold_lease(record(3), 3.0) == LeaseAnswer(held=True, newest=record(3))
    for stranger in strangers:
        assert await bus.hold_lease(stranger, 3.0) == LeaseAnswer(held=False, newest=record(3))
        assert not await bus.release_lease(stranger)
    assert await bus.lease_owner() == "3:a:1"
    assert await bus.release_lease(record(3))
    assert await bus.lease_owner() == ""


async def test_a_lease_of_somebody_else_is_taken_only_if_its_epoch_is_lower(bus: Bus, any_redis_url: str) -> None:
    client = plain_client(any_redis_url)
    await bus.repair(record(3))
    for foreign, held in (("3:z:9", False), ("4:z:9", False), ("2:z:9", True), ("no epoch", True)):
        client.set(bus.keys.lease, foreign)
        assert (await bus.hold_lease(record(3), 3.0)).held == held
        assert await bus.lease_owner() == ("3:a:1" if held else foreign)


async def test_a_lease_lives_for_its_seconds_and_a_renewal_makes_it_new(bus: Bus, any_redis_url: str) -> None:
    client = plain_client(any_redis_url)
    first = await bus.claim_first("a", "1", 60.0)
    assert 50_000 < client.pttl(bus.keys.lease) <= 60_000
    await bus.hold_lease(first, 200.0)
    assert 190_000 < client.pttl(bus.keys.lease) <= 200_000


@pytest.mark.parametrize("ttl_s", [0.0, 1e-8, 0.099, -1.0, float("nan"), float("inf")])
async def test_a_lease_that_would_be_over_at_once_is_refused(bus: Bus, ttl_s: float) -> None:
    with pytest.raises(ConfigError, match="lease"):
        await bus.claim_first("a", "1", ttl_s)
    with pytest.raises(ConfigError, match="lease"):
        await bus.hold_lease(record(1), ttl_s)
    assert await bus.mastership() == NOBODY


async def test_an_award_writes_record_event_and_failover_and_drops_the_lease(bus: Bus) -> None:
    await bus.claim_first("a", "1", 3.0)
    answer = await bus.award(record(5, "b", "2", "a crashed"), failover={"leader": "s1"}, source="s1")
    assert answer.won
    assert answer.newest == await bus.mastership() == record(5, "b", "2", "a crashed")
    assert await bus.lease_owner() == ""
    assert await bus.failovers() == {5: {"leader": "s1"}}
    [event] = await bus.events()
    assert (event.name, event.epoch, event.subject, event.source) == ("+switch-master", 5, "b", "s1")
    assert event.cause == "a crashed"
    assert event.detail == {"incarnation": "2", "from_epoch": 1, "from_node": "a", "from_incarnation": "1"}


@pytest.mark.parametrize("epoch", [4, 5])
async def test_an_award_at_a_lower_or_equal_epoch_loses_and_changes_nothing(bus: Bus, epoch: int) -> None:
    await bus.award(record(5), failover={}, source="s1")
    await bus.hold_lease(record(5), 3.0)
    answer = await bus.award(record(epoch, "b", "2"), failover={"x": 1}, source="s2")
    assert not answer.won
    assert answer.newest == record(5)
    assert await bus.lease_owner() == "5:a:1"
    assert await bus.failovers() == {5: {}}
    assert len(await bus.events()) == 1


async def test_of_many_awards_at_one_epoch_exactly_one_wins(bus: Bus) -> None:
    wins: list[str] = []

    async def award(node: str) -> None:
        if (await bus.award(record(2, node), failover={}, source=node)).won:
            wins.append(node)

    async with trio.open_nursery() as nursery:
        for index in range(16):
            nursery.start_soon(award, f"n{index}")
    assert len(wins) == 1
    assert (await bus.mastership()).node == wins[0]
    assert len(await bus.events()) == 1


async def test_an_award_is_published_on_the_election_channel(bus: Bus) -> None:
    async with bus.subscribe(bus.keys.election_channel) as hints:
        await expect(hints, Resubscribed())
        await bus.award(record(2, "b", "9", 'said "so", é'), failover={}, source="s1")
        with trio.fail_after(5):
            hint = await hints.receive()
    assert isinstance(hint, Hint)
    assert json.loads(hint.data) == {"epoch": 2, "node": "b", "incarnation": "9", "why": 'said "so", é'}


async def test_a_superseded_record_is_not_announced(bus: Bus) -> None:
    await bus.award(record(2, "b"), failover={}, source="s1")
    async with bus.subscribe(bus.keys.election_channel) as hints:
        await expect(hints, Resubscribed())
        assert await bus.announce(record(2, "b"))
        await bus.award(record(3, "c"), failover={}, source="s2")
        assert not await bus.announce(record(2, "b"))
        assert await bus.announce(record(3, "c"))
        with trio.fail_after(5):
            said = [await hints.receive() for _ in range(3)]
    assert [json.loads(hint.data)["epoch"] for hint in said if isinstance(hint, Hint)] == [2, 3, 3]


async def test_a_repair_raises_the_record_and_never_lowers_it(bus: Bus) -> None:
    assert await bus.repair(record(4))
    assert not await bus.repair(record(3, "b"))
    assert not await bus.repair(record(4, "b"))
    assert await bus.mastership() == record(4)
    assert await bus.repair(record(9, "c"))
    assert await bus.mastership() == record(9, "c")


async def test_a_repair_drops_a_lease_of_a_lower_epoch_and_leaves_others(bus: Bus, any_redis_url: str) -> None:
    client = plain_client(any_redis_url)
    client.set(bus.keys.lease, "3:a:1")
    assert await bus.repair(record(4, "b"))
    assert await bus.lease_owner() == ""
    client.set(bus.keys.lease, "8:z:1")
    assert await bus.repair(record(8, "z"))
    assert await bus.lease_owner() == "8:z:1"


async def test_the_record_is_plain_strings_that_an_outsider_can_read(bus: Bus, any_redis_url: str) -> None:
    await bus.award(record(1_700_000_000_000, "b", "2", "why not"), failover={}, source="s1")
    stored = plain_client(any_redis_url).hgetall(bus.keys.mastership)
    assert stored.pop(b"at_ms").isdigit()
    assert stored == {b"epoch": b"1700000000000", b"node": b"b", b"incarnation": b"2", b"why": b"why not"}
    assert (await bus.mastership()).epoch == 1_700_000_000_000


@pytest.mark.parametrize(
    "fields", [{"epoch": "x", "node": "a"}, {"epoch": "-1", "node": "a"}, {"epoch": "3"}, {"z": "1"}]
)
async def test_a_garbage_record_is_a_protocol_error_everywhere(
    bus: Bus, any_redis_url: str, fields: dict[str, str]
) -> None:
    plain_client(any_redis_url).hset(bus.keys.mastership, mapping=fields)
    calls = (
        bus.mastership,
        lambda: bus.claim_first("a", "1", 3.0),
        lambda: bus.hold_lease(record(3), 3.0),
        lambda: bus.award(record(9), failover={}, source="s1"),
        lambda: bus.announce(record(3)),
        lambda: bus.repair(record(9)),
    )
    for call in calls:
        with pytest.raises(ProtocolError, match="mastership record"):
            await call()


async def test_a_key_of_the_wrong_type_is_a_protocol_error_and_an_award_is_whole_or_nothing(
    bus: Bus, any_redis_url: str
) -> None:
    client = plain_client(any_redis_url)
    client.set(bus.keys.mastership, "text")
    with pytest.raises(ProtocolError, match="wrong kind"):
        await bus.mastership()
    client.delete(bus.keys.mastership)
    for key in (bus.keys.failovers, bus.keys.events, bus.keys.event_sequence):
        client.hset(key, "a", "b") if key != bus.keys.failovers else client.set(key, "text")
        with pytest.raises(ProtocolError):
            await bus.award(record(2), failover={}, source="s1")
        client.delete(key)
        assert await bus.mastership() == NOBODY
        assert await bus.events() == []


# --- awards that arrive late ---


async def test_an_award_whose_ticket_has_run_out_is_refused_as_late_and_changes_nothing(
    bus: Bus, any_redis_url: str
) -> None:
    await bus.repair(record(3))
    await bus.hold_lease(record(3), 3.0)
    await bus.announce_award(record(4, "b"), source="s1")
    client = plain_client(any_redis_url)
    ticket = bus.keys.award_ticket(4, "s1")
    assert 0 < client.pttl(ticket) <= AWARD_TICKET_S * 1000
    client.pexpire(ticket, 0)  # its time is over
    answer = await bus.award_announced(record(4, "b"), failover={}, source="s1")
    assert answer == AwardAnswer(won=False, newest=record(3), late=True)
    assert await bus.mastership() == record(3)
    assert await bus.lease_owner() == "3:a:1"
    assert await bus.events() == []
    assert await bus.failovers() == {}


async def test_a_ticket_serves_one_award_of_its_epoch_by_its_sentinel(bus: Bus, any_redis_url: str) -> None:
    await bus.announce_award(record(4, "b"), source="s1")
    for epoch, source in ((4, "s2"), (5, "s1")):
        assert (await bus.award_announced(record(epoch, "z"), failover={}, source=source)).late
    assert (await bus.award_announced(record(4, "b"), failover={}, source="s1")).won
    assert not plain_client(any_redis_url).exists(bus.keys.award_ticket(4, "s1"))
    plain_client(any_redis_url).delete(bus.keys.mastership)  # even then: the same award, carried out a second time
    assert (await bus.award_announced(record(4, "b"), failover={}, source="s1")).late
    assert await bus.mastership() == NOBODY


async def test_an_award_that_lost_is_lost_and_not_late(bus: Bus) -> None:
    await bus.repair(record(4))
    answer = await bus.award_announced(record(4, "b"), failover={}, source="s1")
    assert answer == AwardAnswer(won=False, newest=record(4))


async def test_a_ticket_that_is_asked_for_again_is_one_ticket(bus: Bus) -> None:
    for _ in range(3):
        await bus.announce_award(record(4, "b"), source="s1")
    assert (await bus.award_announced(record(4, "b"), failover={}, source="s1")).won
    answer = await bus.award_announced(record(4, "b"), failover={}, source="s1")
    assert answer == AwardAnswer(won=False, newest=record(4, "b"))


def scripts_run(url: str) -> int:
    """How many scripts the server has carried out."""
    return int(plain_client(url).info("commandstats")["cmdstat_evalsha"]["calls"])


async def test_an_award_that_a_stopped_server_carries_out_too_late_replaces_nobody(
    own_valkey: EmbeddedRedis, cluster: str
) -> None:
    async with open_bus(own_valkey.url, cluster) as bus:
        await bus.repair(record(3))
        await bus.award(record(4), failover={}, source="s1")  # the script is known to the server
        await bus.announce_award(record(5, "b"), source="s1")
        before = scripts_run(own_valkey.url)
        os.kill(own_valkey.pid, signal.SIGSTOP)
        with pytest.raises(BusUnavailable):
            await bus.award_announced(record(5, "b"), failover={}, source="s1")
        await trio.sleep(AWARD_TICKET_S)  # by the server's clock, which goes on
        os.kill(own_valkey.pid, signal.SIGCONT)

        async def carried_out() -> bool:
            return scripts_run(own_valkey.url) == before + 1

        await eventually(carried_out, "the server has carried out the late award")
        assert await bus.mastership() == record(4)
        assert len(await bus.events()) == 1
