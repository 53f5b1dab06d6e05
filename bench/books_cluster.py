"""The cluster of the books benchmark: real processes, hands that kill and restart them, eyes that see when all are back."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import trio

from bench import books_figures
from bench.books_audit import CELLS, Flow, Kill
from bench.books_figures import Evidence
from bench.books_target import MOMENT_S
from bench.witness import wait_until
from chaos.outside import Outside, Snapshot
from ha_stress.base.errors import Unavailable
from ha_stress.base.ids import new_task_id
from ha_stress.cli import processes
from ha_stress.cli.local import LocalCluster, LocalSpec
from ha_stress.cluster.members import Role
from ha_stress.store.store import open_store
from ha_stress.tasks.schedule import Holder

NODES: Final = 3
DOWN_AFTER_S: Final = 1.0
#: As in the demo and the chaos: silence of a second is death, and a ping fits into it twice.
TIMING: Final = {"down_after_s": f"{DOWN_AFTER_S:g}", "ping_period_s": "0.4"}
#: One worker may have to do it all, and a stall of a busy machine is not to be what is measured: a second of the rate. Each
#: request under way has a connection, and one address has about 28,000 ports for those to one server.
IN_FLIGHT_MAX: Final = 20_000
WHOLE_S_MAX: Final = 30.0
PLANNED_S_MAX: Final = 10.0
ENDED_S_MAX: Final = 60.0


class Books:
    """Inside `running` everything is up. `kills` is what was done so far."""

    def __init__(self, cluster: LocalCluster, target_url: str, dice: random.Random) -> None:
        self.cluster = cluster
        self.target_url = target_url
        self.kills: list[Kill] = []
        self.kills_wanted = 0
        self.frames_lost: dict[str, int] = {}
        self.rate = 0.0
        self.task = new_task_id()
        self.started_at = 0.0
        self.outside = Outside(cluster.redis_url, cluster.spec.cluster)
        self.dice = dice
        self._client = cluster.client()

    def close(self) -> None:
        self._client.close()
        self.outside.client.close()

    # The load.

    def load(self, rate: float, seconds: float | None) -> None:
        """Begin, for so long or until `stop`; returns when the plan is made. Arrival number n asks for cell n mod CELLS."""
        self.wait_whole()
        self.rate = rate
        first, *others = (f"{self.target_url}/{cell}" for cell in range(CELLS))
        wanted = {"id": self.task, "name": "books", "url": first, "rate": rate, "duration_s": seconds}
        wanted |= {"requests": [{"url": url} for url in others], "in_flight_max": IN_FLIGHT_MAX}
        self._client.create_task(wanted)
        wait_until("the task is planned", lambda: self._started() > 0, PLANNED_S_MAX)
        self.started_at = self._started()

    def stop(self) -> None:
        self._client.stop_task(self.task)

    def _started(self) -> float:
        return float(self._detail().get("started_at") or 0.0)

    def _detail(self) -> dict[str, Any]:
        """The task; empty while nobody answers or the database is away."""
        try:
            return self._client.task(self.task)
        except Unavailable:
            return {}

    def wait_ended(self) -> None:
        wait_until("the task has ended", lambda: self._detail().get("status") == "ended", ENDED_S_MAX)

    # Hands.

    def kill(self, what: str) -> str:
        """kill -9 of one of that kind, by the dice; its name."""
        before = self._look()
        name = self._drawn(what, before)
        at = self.cluster.kill_redis() if what == books_figures.REDIS else self.cluster.kill(name)
        info = before.nodes.get(name)
        holder = Holder(info.id, info.incarnation) if info is not None else None
        self.kills.append(Kill(what=what, name=name, at=at, holder=holder, epoch=before.epoch))
        return name

    def _drawn(self, what: str, before: Snapshot) -> str:
        match what:
            case books_figures.WORKER:
                return self.dice.choice(sorted(info.id for info in before.workers()))
            case books_figures.SENTINEL:
                return self.dice.choice(sorted(self.cluster.sentinels))
            case books_figures.MASTER:
                return before.node
        return books_figures.REDIS

    def restart(self, what: str, name: str) -> None:
        if what == books_figures.REDIS:
            self.cluster.restart_redis()
            return
        child = self.cluster.restart(name)
        if child.ready.get("api_url"):
            self._client.learn([child.ready["api_url"]])

    # Eyes.

    def _look(self) -> Snapshot:
        seen = self.outside.look()
        for info in seen.nodes.values():
            self.frames_lost[f"{info.id}/{info.incarnation}"] = info.frames_lost
        return seen

    def wait_whole(self, nodes: int = NODES, timeout_s: float = WHOLE_S_MAX) -> None:
        """So many nodes are there, one acts, and once there is load everybody who should has a share of it."""
        wait_until("everybody is back and has a share", lambda: self._whole(nodes), timeout_s)

    def _whole(self, nodes: int) -> bool:
        seen = self._look()
        pids = {child.pid for child in self.cluster.nodes.values() if child.alive}
        working = seen.workers() or list(seen.nodes.values())  # the master only where there is nobody else
        able = {(info.id, info.incarnation) for info in working}
        there = (
            seen.master is not None
            and len(pids) == nodes
            and {info.pid for info in seen.nodes.values()} == pids
            and all(info.role in (Role.WORKER, Role.MASTER) for info in seen.nodes.values())
            and all(child.alive for child in self.cluster.sentinels.values())
        )
        if not there or not self.started_at:
            return there
        newest = self._detail().get("plan", ())[-1:]
        return bool(newest) and {(one["node"], one["incarnation"]) for one in newest[0]["shares"]} == able

    def evidence(self) -> Evidence:
        """Call it once the task has ended."""
        self._look()
        said = httpx.get(f"{self.target_url}/__books", timeout=30, trust_env=False).json()
        plan, rows, timeline = trio.run(_stored, self.cluster.database_url, self.task)
        moments = {int(index): count for index, count in said["moments"].items()}
        return Evidence(
            plan=plan,
            rows=rows,
            kills=self.kills,
            kills_wanted=self.kills_wanted,
            events=self.outside.events(),
            timeline=timeline,
            counts=said["counts"],
            flow=Flow(moments=moments, moment_s=MOMENT_S, rate=self.rate),
            frames_lost=self.frames_lost,
        )


async def _stored(url: str, task: str) -> Any:
    async with open_store(url) as store:
        record = await store.task(task)
        return record.plan, await store.rows(task), await store.timeline(task)


@contextmanager
def running(directory: Path, database_url: str, seed: int) -> Iterator[Books]:
    """Target and cluster, on the given database or an SQLite file of its own; afterwards nothing of it runs."""
    with ExitStack() as stack:
        url = stack.enter_context(_target(directory))
        cluster = LocalCluster(LocalSpec(data_dir=directory, nodes=NODES, timing=TIMING))
        if database_url:
            cluster.database_url = database_url
        stack.enter_context(cluster)
        books = Books(cluster, url, random.Random(seed))
        stack.callback(books.close)
        yield books


@contextmanager
def _target(directory: Path) -> Iterator[str]:
    directory.mkdir(parents=True, exist_ok=True)
    argv = ["bench.books_target"]
    child = processes.start("target", "target", argv, directory / "target.log", ready_on_stdout=True)
    try:
        processes.wait_ready([child], time.monotonic() + 10)
        yield str(child.ready["url"])
    finally:
        child.kill_tree()
