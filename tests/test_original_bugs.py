"""One regression test for each bug of the original Go program, on the real parts."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import trio

from ha_stress.base.config import NodeConfig, Timing
from ha_stress.base.errors import ConfigError, Conflict
from ha_stress.base.ids import new_incarnation, new_node_id, new_task_id
from ha_stress.bus.client import open_bus
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import Role
from ha_stress.drivers.interface import Driver
from ha_stress.drivers.stress import plan as plans
from ha_stress.master.members import Gone, Membership
from ha_stress.master.outgoing import Outgoing
from ha_stress.node.server import NodeServer, open_node
from ha_stress.tasks.ledger import books
from ha_stress.tasks.schedule import Holder, NodeAssignment, Part, TaskShare, planned
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from ha_stress.worker.core import Apply, WorkerCore
from tests import idle_driver
from tests.engine_support import target_process
from tests.idle_driver import DIARIES, DiaryMaster, DiaryWorker
from tests.playbook import Play, node
from tests.redis_server import cluster, eventually, plain_client, valkey

__all__ = ["cluster", "valkey"]  # fixtures

TIMING = Timing(
    info_period_s=0.1,
    info_expiry_s=0.6,
    reread_s=0.3,
    lease_ttl_s=3.0,
    lease_renew_s=0.1,
    lease_margin_s=0.2,
    listen_period_s=0.1,
    resend_s=0.3,
    stop_timeout_s=8.0,
)


class World:
    """Real nodes on one Redis, without sentinels: a test names masters by hand where it needs to."""

    def __init__(self, url: str, cluster: str, folder: Path, stack: AsyncExitStack) -> None:
        self.shared: dict[str, Any] = {
            "cluster": cluster,
            "redis_url": url,
            "database_url": f"sqlite:///{folder}/tasks.db",
            "sentinels": 0,
            "timing": TIMING,
        }
        self.url = url
        self._stack = stack

    @classmethod
    @asynccontextmanager
    async def open(cls, redis: EmbeddedRedis, cluster: str, folder: Path) -> AsyncIterator[Self]:
        async with AsyncExitStack() as stack:
            yield cls(redis.url, cluster, folder, stack)

    def config(self, id: str, **changes: Any) -> NodeConfig:
        return NodeConfig.model_validate({"id": id, "driver": idle_driver.register(), **self.shared, **changes})

    async def node(self, id: str, **changes: Any) -> NodeServer:
        return await self._stack.enter_async_context(open_node(self.config(id, **changes)))


async def acting(*nodes: NodeServer) -> NodeServer:
    """Wait until one of them acts."""

    async def somebody_acts() -> bool:
        return any(node.may_act() for node in nodes)

    await eventually(somebody_acts, "somebody acts as master")
    (master,) = [node for node in nodes if node.may_act()]
    return master


# --- the lock's TTL was 10 ns, so every node became master ---


async def test_the_lease_lasts_for_seconds_and_exactly_one_of_many_nodes_becomes_master(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with World.open(valkey, cluster, tmp_path) as world:
        nodes = [await world.node(f"n{number}") for number in range(1, 5)]
        master = await acting(*nodes)
        lease = master.bus.keys.lease
        outside = plain_client(world.url)
        until = trio.current_time() + 1.1 * TIMING.lease_ttl_s
        while trio.current_time() < until:
            assert [node.info().role for node in nodes].count(Role.MASTER) == 1
            left_ms = outside.pttl(lease)
            assert 0.5 * TIMING.lease_ttl_s < left_ms / 1000 <= TIMING.lease_ttl_s
            await trio.sleep(0.02)
        assert await master.bus.mastership() == master.record()
        assert master.record().epoch == 1


@pytest.mark.parametrize("ttl_s", [0.0, 10e-9, -1.0, float("nan"), float("inf")])
async def test_a_lease_that_would_end_before_it_begins_is_refused(
    valkey: EmbeddedRedis, cluster: str, ttl_s: float
) -> None:
    async with open_bus(valkey.url, cluster) as bus:
        with pytest.raises(ConfigError, match="use at least"):
            await bus.claim_first("n1", "i1", ttl_s)
        assert (await bus.mastership()).epoch == 0


# --- renewal without an owner check ---


async def test_a_superseded_master_cannot_renew_the_lease_of_its_successor(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with World.open(valkey, cluster, tmp_path) as world:
        old = await world.node("n1")
        await acting(old)
        before = old.record()
        successor = Mastership(epoch=2, node="n2", incarnation="another process")
        assert (await old.bus.award(successor, failover={"epoch": 2}, source="s1")).won
        assert (await old.bus.hold_lease(successor, 60.0)).held
        refused = await old.bus.hold_lease(before, 60.0)
        assert (refused.held, refused.newest) == (False, successor)
        assert not await old.bus.release_lease(before), "nor can it give it away"

        async def is_worker() -> bool:
            return old.info().role is Role.WORKER

        await eventually(is_worker, "the old master is a worker")
        await trio.sleep(3 * TIMING.lease_renew_s)
        assert await old.bus.lease_owner() == "2:n2:another process"
        assert not old.may_act()


# --- promotion cancelled the very context that the new master ran on ---


async def test_a_promotion_and_a_demotion_cancel_nothing_that_works(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    idle_driver.register("diary", Driver(DiaryMaster, DiaryWorker))
    async with World.open(valkey, cluster, tmp_path) as world:
        server = await world.node("n1", driver="diary")
        diary = DIARIES["n1"]

        async def beats(role: str) -> None:
            wanted = diary.beats[role] + 5

            async def enough() -> bool:
                return diary.beats[role] >= wanted

            await eventually(enough, f"the {role} side goes on")

        async def named(record: Mastership) -> None:
            assert (await server.bus.award(record, failover={"epoch": record.epoch}, source="s1")).won

        await acting(server)
        await beats("master")
        await beats("worker")
        await trio.sleep(TIMING.lease_ttl_s)  # longer than one lease: it renews, it was not cancelled
        assert server.may_act()
        await beats("master")
        assert diary.lines == ["worker begins", "master begins"]

        await named(Mastership(epoch=2, node="n2", incarnation="another process"))

        async def demoted() -> bool:
            return "master ends" in diary.lines

        await eventually(demoted, "the master side ends")
        await beats("worker")
        await named(Mastership(epoch=3, node="n1", incarnation=server.holder.incarnation))
        await acting(server)
        await beats("master")
        await beats("worker")
        assert diary.lines == ["worker begins", "master begins", "master ends", "master begins"]


# --- dead nodes were never removed ---


async def test_a_dead_node_is_removed_from_the_registry_the_masters_members_and_the_sentinels_view(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with World.open(valkey, cluster, tmp_path) as world:
        master = await world.node("n1")
        await acting(master)
        members = Membership("n1", TIMING.info_expiry_s)
        play = Play.watching()
        async with open_node(world.config("n2")) as mortal:

            async def is_listed() -> bool:
                return [info.id for info in await master.bus.nodes()] == ["n1", "n2"]

            await eventually(is_listed, "both nodes are listed")
            members.read(await master.bus.nodes(), now=0.0)
            assert [info.id for info in members.members()] == ["n2"]
            play.tell(_listed(await master.bus.nodes()))
            assert mortal.info().id in play.core.watch.nodes
        # It left without a goodbye, as a killed process does.

        async def is_gone() -> bool:
            return [info.id for info in await master.bus.nodes()] == ["n1"]

        await eventually(is_gone, "the dead node is not listed any more", 2 * TIMING.info_expiry_s + 2.0)
        members.read(await master.bus.nodes(), now=TIMING.info_expiry_s)
        assert [change.info.id for change in members.expired(now=TIMING.info_expiry_s) if isinstance(change, Gone)] == [
            "n2"
        ]
        assert members.members() == ()
        play.crash("n2")
        play.let(3 * play.timing.down_after_s, answering=("n1",))
        play.tell(_listed(await master.bus.nodes()))
        assert "n2" not in play.core.watch.nodes


def _listed(nodes: Any) -> Any:
    from sentinel.effects import NodesListed

    return NodesListed(tuple(nodes))


# --- a newcomer reported 0 % cpu and therefore always won ---


async def test_a_newcomer_has_no_cpu_figure_and_loses_against_a_measured_node(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    slow = TIMING.model_copy(update={"info_period_s": 20.0, "info_expiry_s": 60.0})
    async with World.open(valkey, cluster, tmp_path) as world:
        newcomer = await world.node("n2", timing=slow)
        info = newcomer.info()
        assert info.cpu_percent is None, "not 0 %"
        sampled = await world.node("n3")

        async def is_measured() -> bool:
            return sampled.info().cpu_percent is not None

        await eventually(is_measured, "a node that has lived for a moment has a figure")

    busy = node("n3", cpu_percent=80.0, version=info.version)
    play = Play.watching(nodes=(node("n2", cpu_percent=None), busy))
    play.elected()
    assert play.core.campaign.winner.node == "n3"
    assert [row.node for row in play.core.campaign.table if row.rank] == ["n3", "n2"]


# --- node ids collided ---


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in leaves(part)]
    return [error]


def test_drawn_ids_do_not_collide() -> None:
    for draw in (new_node_id, new_incarnation, new_task_id):
        assert len({draw() for _ in range(2_000)}) >= 1_999


async def test_of_two_processes_under_one_id_the_later_owns_it_and_the_older_ends_and_says_why(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    ended: list[BaseException] = []

    async def run_older(task_status: trio.TaskStatus[NodeServer]) -> None:
        try:
            async with open_node(world.config("n1")) as node:
                task_status.started(node)
                await trio.sleep_forever()
        except BaseExceptionGroup as error:
            ended.extend(leaves(error))

    async with trio.open_nursery() as nursery, World.open(valkey, cluster, tmp_path) as world:
        first = await nursery.start(run_older)
        await acting(first)
        second = await world.node("n1")
        assert first.holder != second.holder

        async def is_over() -> bool:
            return bool(ended)

        await eventually(is_over, "the older one has ended")
        assert any(
            isinstance(error, Conflict) and "another process has registered as n1" in str(error) for error in ended
        )
        assert [info.incarnation for info in await second.bus.nodes()] == [second.holder.incarnation]
        assert second.info().sequence == first.info().sequence, "a sequence belongs to the id"
        third = await world.node("n2")
        assert third.info().sequence != first.info().sequence
        assert not second.may_act(), "mastership belongs to the process"


# --- a task was marked running before a lossy send ---


async def test_an_assignment_that_nobody_heard_is_found_in_its_record_and_is_due_until_it_is_applied(
    valkey: EmbeddedRedis, cluster: str
) -> None:
    me = Holder("n2", "i2")
    part = Part(revision=1, at_s=0.0, rate=10.0, modulus=1, slots=(0,), limit=None)
    share = TaskShare(
        task="t", request=HttpRequest(url="http://127.0.0.1/"), in_flight_max=1, started_at=0.0, parts=(part,)
    )
    async with open_bus(valkey.url, cluster) as bus:
        record = await bus.claim_first("n1", "i1", 60.0)
        outgoing = Outgoing(record.epoch)
        outgoing.want({me: (share,)})
        (assignment,) = outgoing.due({}, 0.0, 0.5)
        await bus.assign(record, assignment)  # nobody listens: the hint is lost
        outgoing.sent(assignment, 0.0)
        assert outgoing.due({me: (0, 0)}, 0.5, 0.5) == [assignment], "sent is not applied"
        worker = WorkerCore(me)
        found = await bus.assignment("n2")
        assert found == assignment
        assert worker.consider(found, record.epoch) == Apply(assignment=assignment)
        assert isinstance(found, NodeAssignment)
        worker.applied_now(found)
        assert outgoing.due({me: worker.applied}, 9.0, 0.5) == []


# --- integer splits lost rate ---


@pytest.mark.parametrize("nodes", [1, 2, 3, 7, 11, 13])
@pytest.mark.parametrize(("rate", "duration_s"), [(100.0, 10.0), (500.0, 20.0), (10.0, 1.0), (1.0, 3.0), (0.5, 7.0)])
def test_the_shares_of_all_nodes_add_up_to_the_whole(nodes: int, rate: float, duration_s: float) -> None:
    holders = [Holder(f"n{number}", "i") for number in range(nodes)]
    spec = TaskSpec(id="t", name="t", request=HttpRequest(url="http://127.0.0.1/"), rate=rate, duration_s=duration_s)
    plan = plans.begin(spec, [(holder, 1.0) for holder in holders], 0.0, 0.0)
    assert sum(plan.newest.rate_of(holder) for holder in holders) == pytest.approx(rate)
    whole = [planned(plan.newest, holder) or 0 for holder in holders]
    assert sum(whole) == math.ceil(rate * duration_s)
    assert max(whole) - min(whole) <= max(2, 0.25 * max(whole)), "and nobody carries it alone"


# --- the last partial batch of results was never uploaded ---


async def test_a_node_that_leaves_in_the_middle_of_a_second_uploads_what_it_did_in_it(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with World.open(valkey, cluster, tmp_path) as world:
            master = await world.node("n1", driver="stress")
            await acting(master)
            request = HttpRequest(url=target.url)
            async with open_node(world.config("n2", driver="stress", priority=0)) as leaver:

                async def is_listed() -> bool:
                    return {info.id for info in await master.bus.nodes()} == {"n1", "n2"}

                await eventually(is_listed, "both nodes are listed")
                spec = TaskSpec(id="t-1", name="t", request=request, rate=100.0, duration_s=3.0)
                await master.store.create_task(spec)
                await master.bus.hint_intent()

                async def it_works() -> bool:
                    return target.counted() >= 30

                await eventually(it_works, "requests arrive", 10.0)
                await leaver.leave()

            async def has_ended() -> bool:
                return (await master.store.task("t-1")).ended_at is not None

            await eventually(has_ended, "the books are closed", 20.0)
            totals = books((await master.store.task("t-1")).plan, await master.store.rows("t-1"))
            assert totals.balanced
            assert (totals.planned, totals.completed, totals.uncovered) == (300, 300, 0)
            assert target.counted() == 300
            mine = [row for row in await master.store.rows("t-1") if row.holder == leaver.holder]
            assert sum(row.counters.completed for row in mine) > 0, "the leaver did a part of it"
