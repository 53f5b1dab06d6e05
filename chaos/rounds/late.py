"""Writing as a master whose time is over: everything that it could still have under way must be refused."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from chaos.outside import Snapshot
from chaos.rounds.cluster import NAME, NODES, Cluster
from ha_stress.base.errors import Fenced
from ha_stress.bus.client import open_bus
from ha_stress.cluster.mastership import Mastership
from ha_stress.store.store import open_store
from ha_stress.tasks.schedule import NodeAssignment

#: A lease that must not be granted; short, should it be.
_LEASE_TRY_S: Final = 0.2


def late_writes(cluster: Cluster, before: Snapshot, task: str) -> dict[str, bool]:
    """What was tried under the mastership of `before`, and whether it was refused."""
    old = Mastership(epoch=before.epoch, node=before.node, incarnation=before.incarnation, why="late")
    return trio.run(_try, cluster, before, old, task)


async def _try(cluster: Cluster, before: Snapshot, old: Mastership, task: str) -> dict[str, bool]:
    other = next(name for name in NODES if name != old.node)
    order = NodeAssignment(epoch=old.epoch, revision=1_000_000, node=other, incarnation=before.nodes[other].incarnation)
    async with open_bus(cluster.redis.url, NAME) as bus, open_store(f"sqlite:///{cluster.database}") as store:
        record = await store.task(task)

        async def save() -> None:
            await store.save_state(old, task, status=record.status, plan=record.plan, seen_intent=record.seen_intent)

        async def fail() -> None:
            await store.save_failover(old, old.epoch, {"at": time.time()})

        refused = {"a renewal of the lease": not (await bus.hold_lease(old, _LEASE_TRY_S)).held}
        attempts: dict[str, Callable[[], Awaitable[None]]] = {
            "an assignment": lambda: bus.assign(old, order),
            "a task's state": save,
            "a failover record": fail,
            "taking over": lambda: store.take_over(old),
        }
        for name, attempt in attempts.items():
            try:
                await attempt()
                refused[name] = False
            except Fenced:
                refused[name] = True
        return refused
