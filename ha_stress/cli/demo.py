"""The demo: a cluster under load whose master is killed, watched from the outside, with a verdict.

It uses what every operator has: the API, the event stream, the records. The one thing it adds is malice: it tries to
write as the old master under the old epoch.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio

from ha_stress.base.errors import ConfigError, Fenced, Unavailable
from ha_stress.base.ids import new_task_id
from ha_stress.bus.client import Bus, open_bus
from ha_stress.cli import processes
from ha_stress.cli.client import Client
from ha_stress.cli.demo_report import Evidence, report_of
from ha_stress.cli.demo_view import DemoView
from ha_stress.cli.local import LocalCluster, LocalSpec
from ha_stress.cluster.events import MEANING, Event
from ha_stress.cluster.mastership import Mastership
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.admission import check_rate, check_request
from ha_stress.tasks.schedule import NodeAssignment
from ha_stress.tasks.spec import HttpRequest

_TARGET_START_S = 10.0
_PLAN_TIMEOUT_S = 10.0
_FAILOVER_TIMEOUT_S = 15.0
#: After the schedule's end: the last requests, frames and commits, on a loaded machine.
_SETTLE_S = 30.0
_POLL_S = 0.25
#: A lease that must not be granted; short, should it be.
_LEASE_TRY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSpec:
    """`keep` names a directory that keeps the data; otherwise nothing is left behind."""

    rate: float = 500.0
    duration_s: float = 20.0
    kill_at_s: float = 8.0
    restart_at_s: float = 14.0
    down_after_s: float = 1.0
    target_url: str = ""
    nodes: int = 3
    sentinels: int = 3
    allow: tuple[str, ...] = ()
    keep: Path | None = None

    def check(self) -> DemoSpec:
        check_rate(self.rate)
        if self.target_url:
            check_request(HttpRequest(url=self.target_url))
        if not 0 < self.kill_at_s < self.restart_at_s < self.duration_s:
            raise ConfigError("the times must be in order: 0 < --kill-at < --restart-at < --duration")
        if not 0.1 <= self.down_after_s <= 60:
            raise ConfigError(f"--down-after {self.down_after_s:g} s is out of range: 100ms to 60s")
        return self

    def timing(self) -> dict[str, str]:
        ping_s = min(0.5, self.down_after_s / 2.5)
        return {"down_after_s": f"{self.down_after_s:g}", "ping_period_s": f"{ping_s:g}"}


@dataclass
class _Stage:
    """What the parts of the demo share while it runs."""

    spec: DemoSpec
    view: DemoView
    cluster: LocalCluster
    client: Client
    bus: Bus
    store: Store
    url: str
    started_at: float = 0.0
    killed_at: float | None = None
    succeeded: trio.Event = field(default_factory=trio.Event)

    def at_s(self) -> float:
        """Seconds since the load began."""
        return time.time() - self.started_at if self.started_at else 0.0

    async def until(self, at_s: float) -> None:
        await trio.sleep(max(0.0, self.started_at + at_s - time.time()))


def conduct(spec: DemoSpec, view: DemoView) -> dict[str, Any]:
    """Run the whole demo; the result is its JSON document."""
    spec.check()
    with _directory(spec.keep) as directory:
        local = LocalSpec(
            data_dir=directory,
            nodes=spec.nodes,
            sentinels=spec.sentinels,
            allow=spec.allow,
            timing=spec.timing(),
            fresh=True,
        )
        view.say(
            f"Starting Redis, {spec.sentinels} sentinels, {spec.nodes} nodes{'' if spec.target_url else ' and a target'} ..."
        )
        began = time.monotonic()
        with LocalCluster(local) as cluster, _target(spec, directory) as url, cluster.client() as client:
            view.say(f"Ready after {time.monotonic() - began:.1f} s.")
            try:
                return trio.run(_conduct, spec, view, cluster, client, url)
            finally:
                view.load_ends()


async def _conduct(spec: DemoSpec, view: DemoView, cluster: LocalCluster, client: Client, url: str) -> dict[str, Any]:
    async with open_bus(cluster.redis_url, cluster.spec.cluster) as bus, open_store(cluster.database_url) as store:
        stage = _Stage(spec=spec, view=view, cluster=cluster, client=client, bus=bus, store=store, url=url)
        view.who(await _call(client.status))
        async with trio.open_nursery() as nursery:
            await nursery.start(_follow, stage)
            task_id = await _begin(stage)
            old = await _kill_the_master(stage, task_id)
            refused = await _try_the_old_epoch(stage, old, task_id)
            await _restart(stage, old)
            task = await _until_ended(stage, task_id)
            await trio.sleep(_POLL_S)  # the last event is on its way
            nursery.cancel_scope.cancel()
        view.load_ends()
        return await _judge(stage, old, refused, task)


async def _begin(stage: _Stage) -> str:
    spec = stage.spec
    stage.view.load_begins(stage.url, spec.rate, spec.duration_s)
    task_id = new_task_id()
    wanted = {"id": task_id, "name": "demo", "url": stage.url, "rate": spec.rate, "duration_s": spec.duration_s}
    await _call(stage.client.create_task, wanted)
    with trio.move_on_after(_PLAN_TIMEOUT_S):
        while True:
            task = await _call(stage.client.task, task_id)
            if task["started_at"]:
                stage.started_at = task["started_at"]
                return task_id
            await trio.sleep(0.05)
    raise Unavailable(f"the master did not plan the task within {_PLAN_TIMEOUT_S:g} s; see --keep for the logs")


async def _kill_the_master(stage: _Stage, task_id: str) -> Mastership:
    """Kill it at its time and wait for a successor that acts; the record of the dead one."""
    with trio.move_on_after(max(0.0, stage.started_at + stage.spec.kill_at_s - time.time())):
        while True:
            await _show_load(stage, task_id)
            await trio.sleep(_POLL_S)
    old = await stage.bus.mastership()
    stage.killed_at = time.time()  # until the signal's own time is known, for what the follower prints
    stage.killed_at = await trio.to_thread.run_sync(stage.cluster.kill, old.node)
    stage.view.act(stage.at_s(), f"[bold red]kill -9[/] {old.node}, the master, and everything it started")
    with trio.move_on_after(_FAILOVER_TIMEOUT_S):
        await stage.succeeded.wait()
    return old


async def _try_the_old_epoch(stage: _Stage, old: Mastership, task_id: str) -> dict[str, bool]:
    """Write as the old master would, had it only been slow. Every try must be refused."""
    if (await stage.bus.mastership()).epoch <= old.epoch:
        return {}  # there is no successor: nothing is old yet
    record = await stage.store.task(task_id)
    other = next(node for node in stage.cluster.nodes if node != old.node)
    order = NodeAssignment(epoch=old.epoch, revision=1_000_000, node=other, incarnation=old.incarnation)

    async def assign() -> None:
        await stage.bus.assign(old, order)

    async def save() -> None:
        await stage.store.save_state(
            old, task_id, status=record.status, plan=record.plan, seen_intent=record.seen_intent
        )

    async def take_over() -> None:
        await stage.store.take_over(old)

    refused = {"renew_lease": not (await stage.bus.hold_lease(old, _LEASE_TRY_S)).held}
    for name, attempt in (("assign_work", assign), ("save_state", save), ("take_over", take_over)):
        try:
            await attempt()
            refused[name] = False
        except Fenced:
            refused[name] = True
    words = ", ".join(
        f"{name.replace('_', ' ')} {'refused' if no else '[bold red]ACCEPTED[/]'}" for name, no in refused.items()
    )
    stage.view.act(stage.at_s(), f"writing as {old.node} under epoch {old.epoch}: {words}")
    return refused


async def _restart(stage: _Stage, old: Mastership) -> None:
    await stage.until(stage.spec.restart_at_s)
    stage.view.act(stage.at_s(), f"[bold]starting {old.node} again[/]")
    await trio.to_thread.run_sync(stage.cluster.restart, old.node)


async def _until_ended(stage: _Stage, task_id: str) -> dict[str, Any]:
    deadline = stage.started_at + stage.spec.duration_s + _SETTLE_S
    while True:
        task = await _show_load(stage, task_id)
        if task["status"] == "ended" or time.time() > deadline:
            return task
        await trio.sleep(_POLL_S)


async def _judge(
    stage: _Stage, old: Mastership, refused: Mapping[str, bool], task: Mapping[str, Any]
) -> dict[str, Any]:
    assert stage.killed_at is not None
    failovers = {record["epoch"]: record for record in await _call(stage.client.failovers)}
    evidence = Evidence(
        target_url=stage.url,
        counted=None if stage.spec.target_url else await _counted(stage.url),
        killed=old.node,
        killed_incarnation=old.incarnation,
        killed_at_ms=stage.killed_at * 1000,
        epoch_before=old.epoch,
        events=[_plain(event) for event in await stage.bus.events(0)],
        task=task,
        failovers=failovers,
        status=await _status_with(stage, old.node),
        refused=refused,
    )
    report = report_of(evidence)
    stage.view.verdict(report, task, failovers.get(report["failover"]["epoch_after"] or 0))
    return report


async def _status_with(stage: _Stage, node: str) -> dict[str, Any]:
    """The status, once the restarted node is in it (it was started seconds ago) or soon."""
    status: dict[str, Any] = {}
    with trio.move_on_after(5.0):
        while not any(one["id"] == node and one["role"] == "worker" for one in status.get("nodes", ())):
            status = await _call(stage.client.status)
            await trio.sleep(0.1)
    return status or await _call(stage.client.status)


async def _follow(stage: _Stage, *, task_status: trio.TaskStatus[None]) -> None:
    """Print and keep events as they happen; a message is a hint, the stream is what is read."""
    newest = await stage.bus.events(0, 1)
    position = newest[-1].sequence if newest else 0
    async with stage.bus.subscribe(stage.bus.keys.events_channel) as hints:
        task_status.started()
        while True:
            for event in await stage.bus.events(position):
                position = event.sequence
                plain = _plain(event)
                if event.name == "+acting" and stage.killed_at:
                    stage.succeeded.set()
                since = event.at_ms - stage.killed_at * 1000 if stage.killed_at else None
                stage.view.event(plain, event.at_ms / 1000 - stage.started_at if stage.started_at else 0.0, since)
            with trio.move_on_after(_POLL_S):
                await hints.receive()


async def _show_load(stage: _Stage, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = await _call(stage.client.task, task_id)
    stage.view.load(task, stage.spec.duration_s)
    return task


async def _call(function: Any, *args: Any) -> Any:
    """A call of the (blocking) client, off the loop."""
    return await trio.to_thread.run_sync(function, *args)


async def _counted(url: str) -> int:
    async with httpx.AsyncClient(timeout=5.0, trust_env=False) as http:
        return int((await http.get(f"{url.rstrip('/')}/__count")).json()["counted"])


def _plain(event: Event) -> dict[str, Any]:
    return asdict(event) | {"meaning": MEANING.get(event.name, "")}


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="ha-stress-demo-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextmanager
def _target(spec: DemoSpec, directory: Path) -> Iterator[str]:
    """The URL to load: the one that was asked for, or a counting server of our own."""
    if spec.target_url:
        yield spec.target_url
        return
    argv = ["ha_stress.target", "--host", "127.0.0.1", "--port", "0", "--json"]
    child = processes.start("target", "target", argv, directory / "target.log", ready_on_stdout=True)
    guard = processes.guard(child.pid)
    try:
        processes.wait_ready([child], time.monotonic() + _TARGET_START_S)
        yield str(child.ready["url"])
    finally:
        processes.release(guard)
        child.terminate()
        child.finish(time.monotonic() + 2.0)
