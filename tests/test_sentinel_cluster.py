"""Real processes: three sentinels and three nodes, killed, suspended, robbed of their Redis, and asked to leave."""

from __future__ import annotations

import signal

import pytest
import trio

from sentinel.effects import VoteState
from sentinel.votefile import VoteFile
from tests.redis_server import plain_client
from tests.sentinel_support import SENTINELS, SUCCESSION_S, TIMING, Cluster, calm, cluster

__all__ = ["cluster"]  # the fixture

pytestmark = pytest.mark.cluster


async def test_the_first_master_is_not_elected_and_there_is_one(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        record = await watcher.bus.mastership()
        assert (record.epoch, record.why) == (1, "first master")
        assert len(await watcher.events("+first-master")) == 1
        assert await watcher.events("+switch-master") == []


async def test_a_killed_master_is_succeeded_for_its_crash_and_comes_back_as_a_worker(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.kill(old.node)
        new, seconds = await watcher.succession(old)
        assert new.epoch == old.epoch + 1 and new.node != old.node
        assert new.why == "failover: crash"
        assert seconds < SUCCESSION_S
        causes = {e.cause for e in await watcher.events("+sdown", old.node)}
        assert causes == {"crash"}, "three sentinels, one cause"
        kept = (await watcher.bus.failovers())[new.epoch]
        assert kept["old"]["node"] == old.node and kept["winner"]["node"] == new.node
        await trio.to_thread.run_sync(cluster.spawn, [old.node])
        await watcher.until("it is a worker", lambda: watcher.is_worker_of(old.node, new.epoch))
        assert await watcher.bus.mastership() == new, "its return changes nothing"
        assert len(await watcher.events("+switch-master")) == 1


async def test_a_suspended_master_is_succeeded_after_down_after_and_becomes_a_worker_when_it_wakes(
    cluster: Cluster,
) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.signal(old.node, signal.SIGSTOP)
        new, seconds = await watcher.succession(old)
        assert new.epoch == old.epoch + 1 and new.node != old.node
        assert new.why == "failover: silence"
        assert seconds > TIMING.down_after_s - TIMING.ping_period_s, "a silent master keeps its grace"
        cluster.signal(old.node, signal.SIGCONT)
        await watcher.until("it is a worker", lambda: watcher.is_worker_of(old.node, new.epoch))
        assert await watcher.bus.mastership() == new
        superseded = [e for e in await watcher.events("+superseded") if e.source == old.node]
        assert len(superseded) == 1


async def test_a_short_pause_of_the_master_changes_nothing(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.signal(old.node, signal.SIGSTOP)
        await trio.sleep(TIMING.down_after_s / 3)
        cluster.signal(old.node, signal.SIGCONT)
        await trio.sleep(TIMING.down_after_s)
        assert await watcher.acting() == old


async def test_a_redis_that_lost_everything_is_told_the_record_and_the_master_acts_on(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        plain_client(cluster.redis.url).flushall()

        async def repaired() -> bool:
            return await watcher.acting() == old

        await watcher.until("the record and the lease are back", repaired)
        await watcher.until("calm again", watcher.in_calm)
        assert await watcher.bus.mastership() == old, "the same epoch, the same process"
        assert len(await watcher.events("+repaired")) == 1
        assert await watcher.events("+switch-master") == []


async def test_a_redis_that_was_killed_and_comes_back_finds_the_same_master(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.redis.kill()
        await trio.sleep(TIMING.lease_renew_s)
        await trio.to_thread.run_sync(cluster.redis.restart)

        async def acts() -> bool:
            return await watcher.acting() == old

        await watcher.until("the master holds the lease again", acts)
        await watcher.until("calm again", watcher.in_calm)
        assert await watcher.bus.mastership() == old


@pytest.mark.parametrize("spoiled", ["memory", "keys"])
async def test_a_redis_that_answers_nonsense_ends_nobody_and_the_same_master_acts_on(
    cluster: Cluster, spoiled: str
) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        outsider = plain_client(cluster.redis.url)
        foreign = outsider.keys("*") if spoiled == "keys" else []
        if spoiled == "memory":
            outsider.config_set("maxmemory", "1")
        for key in foreign:
            outsider.delete(key)
            outsider.set(key, b"\xff text")
        await trio.sleep(1.5 * TIMING.down_after_s)
        assert cluster.dead == []
        outsider.config_set("maxmemory", "0")
        if foreign:
            outsider.delete(*foreign)
        await watcher.until("calm again", watcher.in_calm)
        assert await watcher.bus.mastership() == old


async def test_a_restarted_sentinel_remembers_its_vote_and_the_next_failover_goes_above_it(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        before = VoteFile(str(cluster.folder), "s1").load()
        assert before.record == old
        cluster.kill("s1")
        # As if it had voted in campaigns of which nobody else remembers anything.
        VoteFile(str(cluster.folder), "s1").save(VoteState(voted_epoch=50, voted_for="s2", record=before.record))
        await trio.to_thread.run_sync(cluster.spawn, ["s1"])
        await watcher.until("calm again", watcher.in_calm)
        await trio.sleep(3 * TIMING.ping_period_s)  # its views reach the others
        cluster.kill(old.node)
        new, _ = await watcher.succession(old)
        assert new.epoch == 51
        assert max(VoteFile(str(cluster.folder), id).load().voted_epoch for id in SENTINELS) == 51
        assert VoteFile(str(cluster.folder), "s1").load().voted_epoch >= 50


async def test_a_master_that_is_asked_to_stop_hands_over_before_it_leaves(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        cluster.signal(old.node, signal.SIGTERM)
        new, _ = await watcher.succession(old)
        assert new.node != old.node and new.why == "switchover: leaving"
        assert (await watcher.bus.failovers())[new.epoch]["kind"] == "switchover"
        assert await trio.to_thread.run_sync(cluster.processes[old.node].wait, 10) == 0
        assert await watcher.node(old.node) is None, "it said goodbye"
        assert {e.source for e in await watcher.events("+leaving")} == {old.node}


async def test_two_of_three_sentinels_are_enough_and_one_is_not(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        first = await watcher.bus.mastership()
        cluster.kill("s3")
        cluster.kill(first.node)
        second, _ = await watcher.succession(first)
        cluster.kill("s2")
        cluster.kill(second.node)
        await trio.sleep(2 * TIMING.down_after_s)
        assert (await watcher.bus.mastership()) == second, "one of three authorises nothing"
        await trio.to_thread.run_sync(cluster.spawn, ["s2"])
        third, _ = await watcher.succession(second)
        assert third.node not in (first.node, second.node)


async def test_at_no_time_did_two_processes_win_one_epoch(cluster: Cluster) -> None:
    """Over everything that the tests above did since Redis lost its history."""
    async with calm(cluster) as watcher:
        switches = await watcher.events("+switch-master")
        epochs = [e.epoch for e in switches]
        assert epochs == sorted(set(epochs)) and epochs
        votes: dict[tuple[int, str], set[str]] = {}
        for e in await watcher.events("+vote-for-leader"):
            votes.setdefault((e.epoch, e.source), set()).add(e.subject)
        assert all(len(candidates) == 1 for candidates in votes.values()), "one vote per epoch and sentinel"
        for e in await watcher.events("+elected-leader"):
            assert len(e.detail["votes"]) >= 2
