"""/metrics: what a node tells Prometheus, read at each scrape.

Every node tells of itself. The acting master also tells of the tasks, from the database, so that the cluster's figures
come from one place and move with the mastership.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import trio
from fastapi import APIRouter
from starlette.responses import Response

from ha_stress.api.port import ApiNode
from ha_stress.base.errors import BusUnavailable, ProtocolError, StoreUnavailable
from ha_stress.base.limits import METRICS_TASKS_MAX
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.store.store import TaskRecord
from ha_stress.tasks.ledger import Row, books
from ha_stress.tasks.spec import Status

if TYPE_CHECKING:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

#: A task is told of for this long after its end, so that every scraper sees its last figures.
ENDED_KEPT_S: Final = 300.0
#: Prometheus' text format, which every version of it and everything like it reads.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True, eq=False)
class Figures:
    """What one scrape tells. `tasks` is None where this node is not the one to tell of them."""

    info: NodeInfo
    engines: int
    redis_up: bool = False
    database_up: bool = False
    tasks: list[tuple[TaskRecord, list[Row]]] | None = None
    statuses: Counter[Status] = field(default_factory=Counter)

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client wants it."""
        from prometheus_client.metrics_core import InfoMetricFamily

        info = self.info
        about = {"node": info.id, "incarnation": info.incarnation, "version": info.version}
        yield InfoMetricFamily("ha_stress_node", "Who this is.", about)
        yield gauge("ha_stress_epoch", "Epoch of the newest mastership record that this process knows.", info.epoch)
        yield gauge("ha_stress_redis_up", "1: Redis answers.", self.redis_up)
        yield gauge("ha_stress_database_up", "1: the database answers.", self.database_up)
        yield gauge("ha_stress_loop_lag_seconds", "Worst lateness of its loop in the last seconds.", info.loop_lag_s)
        yield from self._node()
        if self.tasks is not None:
            yield from self._tasks(self.tasks)

    def _node(self) -> Iterator[Metric]:
        info = self.info
        role = gauge("ha_stress_node_role", "1 at the role that it has.", labels=("role",))
        for one in Role:
            role.add_metric([one.value], float(info.role is one))
        yield role
        yield gauge("ha_stress_node_acting", "1: it is the master, and may act.", info.acting)
        yield gauge("ha_stress_node_lease_left_seconds", "How long it may still act; 0 on workers.", info.lease_left_s)
        yield gauge("ha_stress_node_healthy", "1: it considers itself healthy.", info.healthy)
        yield gauge("ha_stress_node_draining", "1: it keeps no share of the load.", info.draining)
        yield gauge("ha_stress_node_priority", "Lower wins an election; 0 never does.", info.priority)
        yield gauge("ha_stress_node_applied_epoch", "Epoch of the assignment that it carries out.", info.applied[0])
        yield gauge("ha_stress_node_applied_revision", "Revision of that assignment.", info.applied[1])
        yield gauge("ha_stress_node_frames_waiting", "Reports that no master has committed yet.", info.frames_waiting)
        yield counter("ha_stress_node_frames_lost", "Reports that are lost for good.", info.frames_lost)
        yield gauge("ha_stress_node_engines", "Load processes.", self.engines)
        if info.cpu_percent is not None:
            yield gauge("ha_stress_node_host_cpu_ratio", "Use of the host's processors.", info.cpu_percent / 100)
        if info.memory_percent is not None:
            yield gauge("ha_stress_node_host_memory_ratio", "Use of the host's memory.", info.memory_percent / 100)

    def _tasks(self, tasks: list[tuple[TaskRecord, list[Row]]]) -> Iterator[Metric]:
        statuses = gauge("ha_stress_tasks", "Tasks that have not ended.", labels=("status",))
        for status in Status:
            if status is not Status.ENDED:
                statuses.add_metric([status.value], self.statuses[status])
        rate = gauge("ha_stress_task_rate", "Arrivals per second that the operator asks for.", labels=("task",))
        arrivals = counter("ha_stress_task_arrivals", "The books of a task.", labels=("task", "kind"))
        uncovered = gauge(
            "ha_stress_task_uncovered_arrivals", "Arrivals that belonged to a process that died.", labels=("task",)
        )
        received = counter("ha_stress_task_received_bytes", "Bytes of answers.", labels=("task",))
        sent = counter("ha_stress_task_sent_bytes", "Bytes of requests.", labels=("task",))
        connections = counter("ha_stress_task_connections", "Connections opened.", labels=("task",))
        checks = counter("ha_stress_task_check_failures", "How often a check failed.", labels=("task", "check"))
        cpu = counter("ha_stress_task_engine_cpu_seconds", "Processor time of the engines.", labels=("task",))
        for record, rows in tasks:
            task, totals = record.spec.id, books(record.plan, rows)
            rate.add_metric([task], 0.0 if record.status is Status.ENDED else record.spec.rate)
            for kind in ("intended", "started", "completed", "failed", "dropped", "late", "wrong", "retried"):
                arrivals.add_metric([task, kind], getattr(totals, kind))
            uncovered.add_metric([task], totals.uncovered)
            received.add_metric([task], totals.bytes_in)
            sent.add_metric([task], totals.bytes_out)
            connections.add_metric([task], totals.connected)
            cpu.add_metric([task], totals.cpu_us / 1e6)
            for check, count in totals.checks.items():
                checks.add_metric([task, check], count)
        yield from (statuses, rate, arrivals, uncovered, received, sent, connections, checks, cpu)


async def figures_of(node: ApiNode, wall: Callable[[], float] = time.time) -> Figures:
    """Never fails: a server that does not answer is a figure."""
    figures = Figures(info=node.info(), engines=node.config.engines)

    async def ask_redis() -> None:
        try:
            await node.bus.ping()
            figures.redis_up = True
        except (BusUnavailable, ProtocolError):
            return

    async def ask_database() -> None:
        try:
            if figures.info.acting:
                await _read_tasks(node, figures, wall() - ENDED_KEPT_S)
            else:
                await node.store.fence()
            figures.database_up = True
        except StoreUnavailable:
            return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_redis)
        nursery.start_soon(ask_database)
    return figures


async def _read_tasks(node: ApiNode, figures: Figures, ended_after: float) -> None:
    """Those that have not ended, and those that ended just now; the newest METRICS_TASKS_MAX of each."""
    still_open = await node.store.tasks(open_only=True, limit=None)
    newest = await node.store.tasks(limit=METRICS_TASKS_MAX)
    ended = [record for record in newest if record.ended_at is not None and record.ended_at >= ended_after]
    # One may have ended between the two questions: no task is told twice.
    told = list({record.spec.id: record for record in (*still_open[:METRICS_TASKS_MAX], *ended)}.values())
    rows = [await node.store.rows(record.spec.id) for record in told]
    figures.statuses = Counter(record.status for record in still_open)
    figures.tasks = list(zip(told, rows, strict=True))


def rendered(figures: Figures) -> bytes:
    """The text. Not to be called on the loop: the library is read from disk at the first scrape, and the books of many
    tasks take their time."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    registry = CollectorRegistry()
    collector: Any = figures
    registry.register(collector)
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def router_of(node: ApiNode) -> APIRouter:
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """For Prometheus. The acting master also tells of the tasks."""
        text = await trio.to_thread.run_sync(rendered, await figures_of(node))
        return Response(text, headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return router


def gauge(name: str, meaning: str, value: float | None = None, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    """One value, or with `labels` none yet."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    return GaugeMetricFamily(name, meaning, None if value is None else float(value), labels or None)


def counter(name: str, meaning: str, value: float | None = None, labels: tuple[str, ...] = ()) -> CounterMetricFamily:
    """`_total` is added to the name."""
    from prometheus_client.metrics_core import CounterMetricFamily

    return CounterMetricFamily(name, meaning, value, labels or None)
