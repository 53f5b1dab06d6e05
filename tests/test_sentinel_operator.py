"""What an operator asks of three real sentinels: pause, switchover, tags, another sentinel; and what they answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from ha_stress.bus.client import Bus
from ha_stress.cluster import controls as ctl
from ha_stress.cluster.controls import Controls, Tags
from ha_stress.cluster.members import NodeInfo
from ha_stress.mesh.client import connect_mesh
from ha_stress.wire.messages import Answer, Question
from tests.redis_server import plain_client
from tests.sentinel_support import SENTINELS, SUCCESSION_S, TIMING, Cluster, Watcher, calm, cluster

__all__ = ["cluster"]  # the fixture

pytestmark = pytest.mark.cluster


async def change(bus: Bus, wish: Callable[[Controls], Controls]) -> Controls:
    """Read, change, write: as the API does it."""
    before = await bus.controls()
    written, after = await bus.set_controls(before.revision, wish(before))
    assert written
    return after


async def heard(watcher: Watcher, of: Controls) -> None:
    """Every sentinel has these controls in its answers."""

    async def all_have() -> bool:
        told = [(await explained(watcher, id))["controls_revision"] for id in SENTINELS]
        return all(isinstance(revision, int) and revision >= of.revision for revision in told)

    await watcher.until("every sentinel knows the controls", all_have)


async def explained(watcher: Watcher, id: str) -> dict[str, object]:
    (info,) = [info for info in await watcher.bus.sentinels() if info.id == id]
    async with connect_mesh(info.mesh_host, info.mesh_port, "tests", connect_timeout_s=2.0) as connection:
        await connection.send(Question(about="explain"))
        with trio.fail_after(2.0):
            answer = await connection.receive()
    assert isinstance(answer, Answer) and answer.sender == id
    body: dict[str, object] = json.loads(answer.body)
    return body


async def test_a_switchover_goes_to_the_node_that_was_named_and_the_old_master_works_on(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        target = next(id for id in ("n3", "n2", "n1") if id != old.node)
        await change(watcher.bus, lambda c: ctl.ask_switchover(c, old, target))
        new, seconds = await watcher.succession(old)
        assert new.node == target and new.why == "switchover: asked for by the operator"
        assert seconds < SUCCESSION_S
        await watcher.until("the old master is a worker", lambda: watcher.is_worker_of(old.node, new.epoch))
        assert (await watcher.bus.failovers())[new.epoch]["kind"] == "switchover"


async def test_in_pause_a_killed_master_is_not_succeeded_until_the_operator_resumes(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        old = await watcher.bus.mastership()
        await heard(watcher, await change(watcher.bus, lambda c: ctl.pause(c, "a test")))
        cluster.kill(old.node)

        async def all_see_it() -> bool:
            told = [(await explained(watcher, id))["master"] for id in SENTINELS]
            return all(isinstance(master, dict) and master["objectively_down"] for master in told)

        await watcher.until("every sentinel sees it down", all_see_it)
        await trio.sleep(3 * TIMING.ping_period_s)
        assert (await watcher.bus.mastership()) == old, "nobody was elected"
        reasons = (await explained(watcher, "s1"))["why_no_failover"]
        assert reasons == ["failovers are paused by the operator (a test)"]
        await change(watcher.bus, ctl.resume)
        new, _ = await watcher.succession(old)
        assert new.epoch == old.epoch + 1


async def test_a_pause_is_not_lost_with_the_data_of_redis(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        paused = await change(watcher.bus, lambda c: ctl.pause(c, "a test"))
        await heard(watcher, paused)
        with plain_client(cluster.redis.url) as client:
            client.delete(watcher.bus.keys.controls)

        async def repaired() -> bool:
            return await watcher.bus.controls() == paused

        await watcher.until("a sentinel wrote the controls back", repaired)
        await change(watcher.bus, ctl.resume)


async def test_tags_reach_the_node_and_its_description(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        record = await watcher.bus.mastership()
        id = next(id for id in ("n3", "n2") if id != record.node)
        before = await watcher.node(id)
        await change(watcher.bus, lambda c: ctl.tag(c, id, Tags(priority=7, draining=True)))

        async def tagged(wanted: tuple[int, bool]) -> bool:
            info = await watcher.node(id)
            return isinstance(info, NodeInfo) and (info.priority, info.draining) == wanted

        assert before is not None
        await watcher.until("it says so of itself", lambda: tagged((7, True)))
        await change(watcher.bus, lambda c: ctl.tag(c, id, Tags()))
        await watcher.until("and is as before", lambda: tagged((before.priority, False)))


async def test_a_sentinel_is_added_takes_part_and_is_removed_again(cluster: Cluster) -> None:
    async with calm(cluster) as watcher:
        await trio.to_thread.run_sync(cluster.spawn, ["s4"], (*SENTINELS, "s4"))

        async def runs() -> bool:
            return any(info.id == "s4" for info in await watcher.bus.sentinels())

        async def version_at_a_majority(version: int) -> bool:
            infos = [info for info in await watcher.bus.sentinels() if info.members_version == version]
            return sum(info.id in info.members for info in infos) >= 3

        await watcher.until("s4 describes itself", runs)
        infos = await watcher.bus.sentinels()
        added = await change(watcher.bus, lambda c: ctl.add_sentinel(c, infos, "s4"))
        assert added.membership.members == (*SENTINELS, "s4")
        version = added.membership.version
        await watcher.until("a majority has it on disk", lambda: version_at_a_majority(version))

        # Three of four are a majority: with one of the old ones gone, the new one's vote is needed.
        cluster.kill("s3")
        old = await watcher.bus.mastership()
        cluster.kill(old.node)
        new, _ = await watcher.succession(old)
        voters = {vote.source for vote in await watcher.events("+vote-for-leader") if vote.epoch == new.epoch}
        assert "s4" in voters and len(voters) == 3

        await trio.to_thread.run_sync(cluster.spawn, ["s3", old.node])
        await watcher.until("s3 is back", lambda: version_at_a_majority(version))
        infos = await watcher.bus.sentinels()
        removed = await change(watcher.bus, lambda c: ctl.remove_sentinel(c, infos, "s4"))
        assert removed.membership.members == SENTINELS and removed.membership.floor >= new.epoch
        cluster.kill("s4")
        version = removed.membership.version
        await watcher.until("a majority has it on disk", lambda: version_at_a_majority(version))
        with plain_client(cluster.redis.url) as client:  # a sentinel that is gone for good
            client.hdel(watcher.bus.keys.sentinels, "s4")
        assert replace(await watcher.bus.controls(), revision=0).membership == removed.membership
