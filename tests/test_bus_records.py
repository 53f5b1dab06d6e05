"""Members, assignments, frames, commit marks, events and failover records, against real servers of both kinds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio

from ha_stress.base.errors import Conflict, Fenced, ProtocolError
from ha_stress.base.limits import ASSIGNMENTS_PER_SEND_MAX, FAILOVERS_KEPT_MAX
from ha_stress.bus.client import Bus, Hint, Resubscribed, open_bus
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo, Role, SentinelInfo
from ha_stress.tasks.ledger import Counters, Frame
from ha_stress.tasks.schedule import Holder, NodeAssignment
from tests.redis_server import any_redis_url, cluster, debian_redis, eventually, expect, plain_client, valkey

__all__ = ["any_redis_url", "cluster", "debian_redis", "valkey"]

MASTER = Mastership(epoch=3, node="m", incarnation="1", why="test")


@pytest.fixture
async def bus(any_redis_url: str, cluster: str) -> AsyncIterator[Bus]:
    async with open_bus(any_redis_url, cluster) as bus:
        yield bus


def info(node: str = "a", incarnation: str = "1") -> NodeInfo:
    return NodeInfo(
        id=node,
        incarnation=incarnation,
        sequence=1,
        priority=100,
        mesh_host="127.0.0.1",
        mesh_port=1,
        api_url="",
        role=Role.WORKER,
        epoch=0,
        applied=(2, 7),
    )


def frame(sequence: int) -> Frame:
    counters = Counters(intended=2, started=2, completed=1, failed={"timeout": 1}, statuses={"200": 1})
    return Frame(
        node="a",
        incarnation="1",
        sequence=sequence,
        epoch=3,
        task="t",
        revision=1,
        engine=0,
        second=sequence,
        counters=counters,
        response_us=b"\x00\xff",
    )


def assignment(epoch: int, revision: int, node: str = "w") -> NodeAssignment:
    return NodeAssignment(epoch=epoch, revision=revision, node=node, incarnation="5")


async def test_sequence_numbers_are_stable_per_id_and_never_reused(bus: Bus) -> None:
    assert [await bus.register(node, "1") for node in ("a", "b", "a", "c")] == [1, 2, 1, 3]
    assert await bus.remove_node("c", "1")
    assert await bus.register("d", "1") == 4
    assert await bus.register("c", "2") == 3


async def test_a_sequence_number_that_redis_lost_is_restored_unless_somebody_else_has_it(bus: Bus) -> None:
    assert await bus.register("b", "1", 7) == 7
    assert await bus.register("new", "1") == 8
    assert await bus.register("a", "1", 3) == 3
    assert await bus.register("late", "1", 8) == 9
    assert await bus.register("b", "2", 99) == 7


async def test_concurrent_registrations_get_different_numbers(bus: Bus) -> None:
    numbers: list[int] = []

    async def register(index: int) -> None:
        numbers.append(await bus.register(f"n{index}", "1"))

    async with trio.open_nursery() as nursery:
        for index in range(20):
            nursery.start_soon(register, index)
    assert sorted(numbers) == list(range(1, 21))


async def test_a_node_lives_while_its_description_has_not_run_out(bus: Bus) -> None:
    await bus.register("a", "1")
    await bus.register("b", "1")
    assert await bus.publish_info(info("a"), 30)
    assert await bus.publish_info(info("b"), 0.1)

    async def only_a_is_left() -> bool:
        return await bus.nodes() == [info("a")]

    await eventually(only_a_is_left, "b has run out")


async def test_a_description_is_published_and_a_leave_is_an_empty_hint(bus: Bus) -> None:
    async with bus.subscribe(bus.keys.info_channel) as hints:
        await expect(hints, Resubscribed())
        await bus.publish_info(info(), 5)
        with trio.fail_after(5):
            published = await hints.receive()
        assert await bus.remove_node("a", "1")
        await expect(hints, Hint(bus.keys.info_channel, b""))
    assert isinstance(published, Hint)
    assert published.data
    assert await bus.nodes() == []


async def test_the_first_words_of_a_process_and_no_others_are_hinted_at_for_those_who_watch_newcomers(bus: Bus) -> None:
    async with bus.subscribe(bus.keys.newcomers_channel) as hints:
        await expect(hints, Resubscribed())
        for incarnation in ("1", "1", "2"):
            await bus.register("a", incarnation)
            await bus.publish_info(info("a", incarnation), 5)
            await bus.publish_info(info("a", incarnation), 5)
        await bus.remove_node("a", "2")
        await bus.register("b", "1")
        await bus.publish_info(info("b", "1"), 5)
        with trio.fail_after(5):
            named = [await hints.receive() for _ in range(3)]
    assert named == [Hint(bus.keys.newcomers_channel, name) for name in (b"a", b"a", b"b")]


async def test_a_dead_process_cannot_speak_for_its_successor(bus: Bus) -> None:
    await bus.register("a", "1")
    await bus.publish_info(info("a", "1"), 30)
    await bus.register("a", "2")
    assert await bus.nodes() == [], "the description of the predecessor is dropped"
    await bus.publish_info(info("a", "2"), 30)
    assert not await bus.publish_info(info("a", "1"), 30)
    assert not await bus.remove_node("a", "1")
    assert await bus.nodes() == [info("a", "2")]


async def test_a_description_that_cannot_be_read_is_skipped_and_counted(bus: Bus, any_redis_url: str) -> None:
    await bus.publish_info(info("a"), 30)
    await bus.publish_info(info("b"), 30)
    plain_client(any_redis_url).set(bus.keys.node("a"), b"\xff\x00 garbage")
    assert await bus.nodes() == [info("b")]
    assert bus.undecodable == 1


async def test_sentinels_are_kept_with_the_time_they_said(bus: Bus) -> None:
    sentinel = SentinelInfo(id="s1", incarnation="1", mesh_host="127.0.0.1", mesh_port=2, epoch=4, sent_at=12.5)
    await bus.publish_sentinel(sentinel)
    await bus.publish_sentinel(sentinel)
    assert await bus.sentinels() == [sentinel]


async def test_an_assignment_is_written_and_the_node_is_told(bus: Bus) -> None:
    await bus.repair(MASTER)
    assert await bus.assignment("w") is None
    async with bus.subscribe(bus.keys.task_channel("w")) as hints:
        await expect(hints, Resubscribed())
        await bus.assign(MASTER, assignment(3, 1))
        await expect(hints, Hint(bus.keys.task_channel("w"), b"3:1"))
        await bus.assign(MASTER, assignment(3, 1))
        await expect(hints, Hint(bus.keys.task_channel("w"), b"3:1"))
    assert await bus.assignment("w") == assignment(3, 1)


async def test_the_assignments_of_many_nodes_are_read_at_once(bus: Bus) -> None:
    await bus.repair(MASTER)
    nodes = [f"n{number}" for number in range(ASSIGNMENTS_PER_SEND_MAX + 2)]
    await bus.assign_all(MASTER, [assignment(3, 1, node) for node in nodes[1:]])
    assert await bus.assignments(nodes) == [assignment(3, 1, node) for node in nodes[1:]]
    assert await bus.assignments([]) == []


@pytest.mark.parametrize(
    ("stale", "newest"),
    [
        (Mastership(epoch=2, node="m", incarnation="1"), 3),
        (Mastership(epoch=4, node="m", incarnation="1"), 3),
        (Mastership(epoch=3, node="other", incarnation="1"), 3),
        (Mastership(epoch=3, node="m", incarnation="2"), 3),
    ],
)
async def test_an_assignment_by_anybody_but_the_master_of_the_record_is_fenced(
    bus: Bus, stale: Mastership, newest: int
) -> None:
    await bus.repair(MASTER)
    await bus.assign(MASTER, assignment(3, 1))
    with pytest.raises(Fenced) as caught:
        await bus.assign(stale, assignment(stale.epoch, 9))
    assert (caught.value.mine, caught.value.newest) == (stale.epoch, newest)
    assert await bus.assignment("w") == assignment(3, 1)


async def test_a_lower_revision_is_refused_and_a_lower_epoch_is_fenced(bus: Bus, any_redis_url: str) -> None:
    await bus.repair(MASTER)
    await bus.assign(MASTER, assignment(3, 5))
    with pytest.raises(Conflict):
        await bus.assign(MASTER, assignment(3, 4))
    plain_client(any_redis_url).hset(bus.keys.assignment_versions, "w", "8:1")
    with pytest.raises(Fenced) as caught:
        await bus.assign(MASTER, assignment(3, 6))
    assert caught.value.newest == 8
    assert await bus.assignment("w") == assignment(3, 5)


async def test_many_assignments_go_in_one_round_trip_and_those_in_conflict_are_named(bus: Bus) -> None:
    await bus.repair(MASTER)
    others = [replace(assignment(3, 2), node=f"w{number}") for number in range(300)]
    await bus.assign(MASTER, others[7])
    await bus.assign(MASTER, replace(others[9], revision=3))
    assert await bus.assign_all(MASTER, others) == [others[9]]
    assert [await bus.assignment(f"w{number}") for number in (0, 7, 299)] == [others[0], others[7], others[299]]
    with pytest.raises(Fenced):
        await bus.assign_all(replace(MASTER, incarnation="2"), others[:2])
    assert await bus.assign_all(MASTER, []) == []


async def test_a_higher_epoch_begins_its_revisions_anew(bus: Bus) -> None:
    await bus.repair(MASTER)
    await bus.assign(MASTER, assignment(3, 5))
    successor = Mastership(epoch=4, node="n", incarnation="2")
    await bus.award(successor, failover={}, source="s1")
    await bus.assign(successor, assignment(4, 1))
    assert await bus.assignment("w") == assignment(4, 1)


async def test_an_assignment_that_cannot_be_read_is_a_protocol_error(bus: Bus, any_redis_url: str) -> None:
    plain_client(any_redis_url).set(bus.keys.assignment("w"), b"garbage")
    with pytest.raises(ProtocolError):
        await bus.assignment("w")


async def test_frames_come_back_in_order_page_by_page_and_are_dropped_up_to_a_position(bus: Bus) -> None:
    await bus.add_frames([frame(n) for n in range(10)])
    await bus.add_frames([])
    first = await bus.read_frames("", 4)
    assert [f for _, f in first] == [frame(n) for n in range(4)]
    rest = await bus.read_frames(first[-1][0], 100)
    assert [f.sequence for _, f in rest] == list(range(4, 10))
    assert await bus.read_frames(rest[-1][0], 100) == []
    await bus.drop_frames(first[-1][0])
    assert await bus.read_frames("", 100) == rest
    await bus.drop_frames("")
    await bus.drop_frames(rest[-1][0])
    assert await bus.read_frames("", 100) == []


async def test_a_page_of_unreadable_frames_does_not_look_like_the_end(bus: Bus, any_redis_url: str) -> None:
    client = plain_client(any_redis_url)
    for _ in range(5):
        client.xadd(bus.keys.results, {"f": b"\xc1"})
    client.xadd(bus.keys.results, {"g": b"no field f"})
    await bus.add_frames([frame(1)])
    assert [f for _, f in await bus.read_frames("", 2)] == [frame(1)]
    assert bus.undecodable == 6


async def test_a_position_that_is_none_is_refused(bus: Bus) -> None:
    for position in ("x", "1", "1-", "-"):
        with pytest.raises(ProtocolError):
            await bus.read_frames(position, 1)
        with pytest.raises(ProtocolError):
            await bus.drop_frames(position)


async def test_a_commit_mark_never_falls(bus: Bus) -> None:
    a, b = Holder("a", "1"), Holder("a", "2")
    assert await bus.committed(a) == 0
    await bus.mark_committed({})
    await bus.mark_committed({a: 5, b: 10})
    await bus.mark_committed({a: 3, b: 11})
    assert (await bus.committed(a), await bus.committed(b)) == (5, 11)


async def test_event_sequences_have_no_gaps_under_concurrent_writers(bus: Bus, any_redis_url: str) -> None:
    async def write(writer: str) -> None:
        async with open_bus(any_redis_url, bus.keys.cluster) as mine:
            for index in range(20):
                await mine.add_event(Event(name="+sdown", source=writer, epoch=index))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for index in range(5):
                nursery.start_soon(write, f"s{index}")
    events = await bus.events()
    assert [event.sequence for event in events] == list(range(1, 101))
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    assert events[0].at_ms > 0


async def test_events_are_read_after_a_sequence_or_the_newest(bus: Bus) -> None:
    for index in range(6):
        await bus.add_event(Event(name="+task", source="a", epoch=index))
    assert [event.sequence for event in await bus.events(4)] == [5, 6]
    assert [event.sequence for event in await bus.events(1, 2)] == [2, 3]
    assert [event.sequence for event in await bus.events(0, 2)] == [5, 6]
    assert await bus.events(6) == []


async def test_an_event_goes_out_as_it_was_said_and_comes_back_with_number_and_time(bus: Bus) -> None:
    said = Event(
        name="+sdown",
        source="s1",
        epoch=2,
        subject="n/1",
        cause='"é\n',
        detail={"list": [], "map": {}, "x": None, "f": 1.5},
    )
    async with bus.subscribe(bus.keys.events_channel) as hints:
        await expect(hints, Resubscribed())
        stored = await bus.add_event(said)
        with trio.fail_after(5):
            hint = await hints.receive()
    assert stored.sequence == 1
    assert stored.at_ms > 0
    assert await bus.events() == [stored]
    assert isinstance(hint, Hint)
    plain = json.loads(hint.data)
    assert Event(**plain) == stored
    assert stored.detail == said.detail


async def test_events_go_on_above_the_stream_when_the_counter_is_lost(bus: Bus, any_redis_url: str) -> None:
    for _ in range(3):
        await bus.add_event(Event(name="+task", source="a", epoch=0))
    plain_client(any_redis_url).delete(bus.keys.event_sequence)
    assert (await bus.add_event(Event(name="+task", source="a", epoch=0))).sequence == 4
    assert (await bus.add_event(Event(name="+task", source="a", epoch=0))).sequence == 5


async def test_an_event_stream_of_the_wrong_type_is_a_protocol_error_and_draws_no_number(
    bus: Bus, any_redis_url: str
) -> None:
    client = plain_client(any_redis_url)
    client.set(bus.keys.events, "text")
    with pytest.raises(ProtocolError, match="not a stream"):
        await bus.add_event(Event(name="+task", source="a", epoch=0))
    assert client.get(bus.keys.event_sequence) is None


async def test_a_detail_that_json_cannot_hold_is_refused_before_it_is_sent(bus: Bus) -> None:
    with pytest.raises(ProtocolError):
        await bus.add_event(Event(name="+task", source="a", epoch=0, detail={"x": float("nan")}))
    assert await bus.events() == []


async def test_only_the_newest_failovers_are_kept(bus: Bus, any_redis_url: str) -> None:
    for epoch in range(1, FAILOVERS_KEPT_MAX + 4):
        await bus.save_failover(epoch, {"epoch": epoch})
    await bus.save_failover(9, {"replaced": True})
    kept = await bus.failovers()
    assert list(kept) == list(range(4, FAILOVERS_KEPT_MAX + 4))
    assert kept[9] == {"replaced": True}
    plain_client(any_redis_url).hset(bus.keys.failovers, "9", "not json")
    assert 9 not in await bus.failovers()
    assert bus.undecodable == 1


async def test_the_intent_hint_arrives(bus: Bus) -> None:
    async with bus.subscribe(bus.keys.intent_channel) as hints:
        await expect(hints, Resubscribed())
        await bus.hint_intent()
        await expect(hints, Hint(bus.keys.intent_channel, b""))


async def test_two_databases_of_one_server_do_not_hear_each_other(any_redis_url: str, cluster: str) -> None:
    here, there = f"{any_redis_url.rsplit('/', 1)[0]}/0", f"{any_redis_url.rsplit('/', 1)[0]}/1"
    async with open_bus(here, cluster) as one, open_bus(there, cluster) as other:
        assert one.keys.mastership == other.keys.mastership
        async with one.subscribe(one.keys.events_channel) as hints:
            assert await hints.receive() == Resubscribed()
            await other.add_event(Event(name="+node", source="x", epoch=1))
            with trio.move_on_after(0.3) as waited:
                await hints.receive()
            assert waited.cancelled_caught
